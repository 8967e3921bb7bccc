"""What an optimizer over arrays must do, in float64 and straight from the rule."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepwell.rule import Rule

Arrays = list[np.ndarray]
TOLERANCE = {"float16": 4e-3, "float32": 2e-6, "float64": 1e-13}  # of the largest element


def decades(shapes: Sequence[tuple[int, ...]], dtype: str, steps: int = 6, seed: int = 0) -> list[list[Any]]:
    """Gradients for each step, of size 10^(step - 4); every array is without one at some step."""
    rng = np.random.default_rng(seed)
    gradients: list[list[Any]] = [
        [(rng.standard_normal(s) * 10.0 ** (i - 4)).astype(dtype) for s in shapes] for i in range(steps)
    ]
    for k in range(len(shapes)):
        gradients[k % steps][k] = None
    return gradients


def trained(rule: Rule, params: Sequence[Any], gradients: Sequence[Sequence[Any]], **options: Any) -> Arrays:
    """The arrays after all steps; `options` are those of the optimizer, `lr` a number or a function of the step."""
    lr = options.pop("lr")
    surround = {name: options.pop(name, None) for name in ("maximize", "clip_norm", "ema", "check_finite")}
    l2 = 0.0 if "weight_decay" in rule.hyperparameters else options.pop("weight_decay", 0.0)
    hyper: dict[str, Any]
    arrays = [p.astype(np.float64) for p in params]
    hyper = rule.complete(options | {"lr": lr(0) if callable(lr) else lr})
    states = [{s: np.full_like(p, rule.start_of(s, hyper)) for s in rule.state} for p in arrays]
    averages = [p.copy() for p in arrays]
    times = [0] * len(arrays)
    for step, grads in enumerate(gradients):
        if callable(lr):
            hyper["lr"] = lr(step)
        there = [g.astype(np.float64) for g in grads if g is not None]
        scale = -1.0 if surround["maximize"] else 1.0
        if surround["clip_norm"]:
            scale *= min(1.0, surround["clip_norm"] / (np.sqrt(sum((g**2).sum() for g in there)) + 1e-6))
        for k, g in enumerate(grads):
            if g is None:
                continue
            times[k] += 1
            g = scale * g.astype(np.float64) + l2 * arrays[k]
            change, *new = rule.bind({"p": arrays[k], "g": g, "t": times[k], **states[k]}, hyper)
            arrays[k] = arrays[k] - change
            states[k] = dict(zip(rule.state, new, strict=True))
            if surround["ema"] is not None:
                averages[k] = surround["ema"] * averages[k] + (1 - surround["ema"]) * arrays[k]
    return [*arrays, *(averages if surround["ema"] is not None else [])]


def assert_close(found: Sequence[Any], expected: Sequence[Any], passed: float = 0.0) -> None:
    """Equal in the precision of their dtype, relative to the largest element; `passed` is how large it was before."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        error = abs(ours.astype(np.float64) - theirs).max(initial=0.0)
        assert error <= TOLERANCE[ours.dtype.name] * abs(theirs).max(initial=passed), (
            f"{ours.dtype} {ours.shape}: {error}"
        )
