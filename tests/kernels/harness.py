"""A kernel, the eager engine and the float64 reference at the same work, compared after every step."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepwell.kernels import Stages, cpu, eager
from stepwell.kernels.source import ADDRESSES
from stepwell.rule import Rule

SIZES = (0, 1, 3, 15, 16, 17, 16383, 16384, 16385, 100_003)  # vector widths, blocks, and their neighbours
SMALL = (1, 5, 17)
STEPS = 8
AGES = (0, 3, 1000)  # steps that a tensor has behind it: the first of RAdam's branches, the switch, the second
PLAIN, EVERY_STAGE = Stages(), Stages(True, True, True, True)  # but clipping, which would level gradients
SURROUND = (  # the decay is small beside every gradient, so that their sum does not cancel
    {"grad_scale": -0.5, "clip_value": 2.0, "l2_decay": 2.0**-12, "clip_decayed_value": 1.0, "ema_decay": 0.9},
    {"grad_scale": 2.0, "clip_value": 0.5, "l2_decay": 0.0, "clip_decayed_value": 1.0, "ema_decay": 0.25},
)

# The largest error in a tensor over the largest element it ever had. In float32 some ten operations round at each of
# eight steps (half a unit in the last place is 6e-8); float64 has nine more digits, and 1 - β₂ᵗ costs three.
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
CANCELLING = 2  # times that for RMSProp's kin: s - a² loses digits, and their first step is g over its own size

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """A rule and its stages over tensors of these sizes, stored in one dtype."""

    rule: Rule
    stages: Stages = PLAIN
    dtype: str = "float32"
    sizes: Sequence[int] = SIZES
    steps: int = STEPS

    def hyper(self, k: int) -> dict[str, float]:
        """The scalars of tensor k's group: the rule's defaults, or examples of their domains."""
        hyper = self.rule.complete({h.name: 0.1 for h in self.rule.hyperparameters.values() if h.default is None})
        if group_of(k):
            domains = {name: h.domain.example for name, h in self.rule.hyperparameters.items()}
            hyper = {name: 0.25 if value is None else value for name, value in domains.items()}
        return hyper | SURROUND[group_of(k)]

    def start(self, k: int) -> Arrays:
        """Tensor k before the first step, of about the size of a step."""
        p = (0.01 * np.random.default_rng(k).standard_normal(self.sizes[k])).astype(self.dtype)
        hyper = self.hyper(k)
        program = cpu.program(self.rule, self.stages)
        state = {
            name: np.full(
                program.shape_of(name, p.shape),
                self.rule.start_of(name, hyper),
                np.float64 if name in program.scalar_state else p.dtype,
            )
            for name in self.rule.state
        }
        return {"p": p, **state} | ({"ema": p.copy()} if self.stages.ema else {})

    def gradients(self, step: int) -> list[np.ndarray]:
        """Normal numbers of size 10^(step - 4): over eight steps, eight decades."""
        return [g.astype(self.dtype) for g in _gradients(tuple(self.sizes), step)]


@functools.lru_cache(maxsize=32)
def _gradients(sizes: tuple[int, ...], step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1000 + step)
    return [rng.standard_normal(n) * 10.0 ** (step - 4) for n in sizes]


def group_of(k: int) -> int:
    """Tensors 1 and 2 have one group and two ages, 0 and 1 two groups and one age, and so on."""
    return (k + 1) // 2 % 2


Engine = Callable[[Work], Iterator[list[Arrays]]]  # what the arrays are after each step


def by_reference(work: Work) -> Iterator[list[Arrays]]:
    """Direct calls of the rule in float64, what surrounds it written out."""
    tensors = [{name: x.astype(np.float64) for name, x in work.start(k).items()} for k in range(len(work.sizes))]
    for step in range(work.steps):
        for k, (old, given) in enumerate(zip(tensors, work.gradients(step), strict=True)):
            hyper = work.hyper(k)
            g = given.astype(np.float64)
            if work.stages.scale:
                g = g * hyper["grad_scale"]
            if work.stages.clip:
                g = np.clip(g, -hyper["clip_value"], hyper["clip_value"])
            if work.stages.decay:
                g = g + hyper["l2_decay"] * old["p"]
            if work.stages.clip_decayed:
                g = np.clip(g, -hyper["clip_decayed_value"], hyper["clip_decayed_value"])
            change, *state = work.rule.bind({**old, "g": g, "t": age(k) + step + 1}, hyper)
            new = {"p": old["p"] - change, **dict(zip(work.rule.state, state, strict=True))}
            if work.stages.ema:
                new["ema"] = hyper["ema_decay"] * old["ema"] + (1 - hyper["ema_decay"]) * new["p"]
            tensors[k] = new
        yield tensors


def by_eager(work: Work) -> Iterator[list[Arrays]]:
    """The eager engine, in the arrays' own dtype."""
    tensors = [work.start(k) for k in range(len(work.sizes))]
    for name in cpu.program(work.rule, work.stages).scalar_state:
        for own in tensors:
            own[name] = float(own[name])
    for step in range(work.steps):
        for k, g in enumerate(work.gradients(step)):
            scalars = {**work.hyper(k), "t": age(k) + step + 1}
            tensors[k] = eager.step(work.rule, {**tensors[k], "g": g}, scalars, work.stages)
        yield tensors


def by_kernel(
    work: Work, threads: int = 1, make: Callable[..., cpu.Kernel] = cpu.kernel, rule: Rule | None = None
) -> Iterator[list[Arrays]]:
    """The compiled kernel, all tensors in one table; `rule` stands in for the work's own."""
    work = replace(work, rule=rule or work.rule)
    arrays = cpu.program(work.rule, work.stages).arrays
    kernel = make(work.rule, work.stages, (work.dtype,) * len(arrays))
    tensors = [work.start(k) for k in range(len(work.sizes))]
    table = kernel.table(work.sizes, [group_of(k) for k in range(len(work.sizes))])
    clock = kernel.clock(len(work.sizes))
    groups = np.array([[work.hyper(k)[name] for name in kernel.program.scalars] for k in range(len(SURROUND))])
    for step in range(work.steps):
        for k, (own, g) in enumerate(zip(tensors, work.gradients(step), strict=True)):
            own["g"] = g
            pointers = [own[name] for name in (*kernel.program.arrays, *kernel.program.scalar_state)]
            table[k, ADDRESSES:] = [address(x) for x in pointers]
            clock[k] = [age(k) + step + 1, *(own[name] for name in kernel.program.scalar_state)]
        kernel.run(table, clock, groups.reshape(len(SURROUND), -1), threads)
        for own in tensors:
            g = own.pop("g")
            if work.stages.zero:
                assert not g.any()
        yield tensors


def age(k: int) -> int:
    return AGES[k // 2 % len(AGES)]


def address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


def assert_same(work: Work, one: Engine, other: Engine) -> None:
    """Equal after every step to the tolerance, or an AssertionError that says where they part."""
    tolerance = TOLERANCE[work.dtype] * (CANCELLING if work.rule.name.startswith("rmsprop") else 1)
    largest: dict[tuple[int, str], float] = {}
    for step, (found, expected) in enumerate(zip(one(work), other(work), strict=True)):
        for k, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            assert ours.keys() == theirs.keys()
            for name in theirs:
                x, y = np.asarray(ours[name], np.float64), np.asarray(theirs[name], np.float64)
                where = f"{work.rule.name} {work.stages} {work.dtype}: {name} of {work.sizes[k]}, step {step}"
                assert x.shape == y.shape, f"{where}: shapes {x.shape}, {y.shape}"
                assert np.isfinite(y).all(), f"{where}: not finite"
                if y.size == 0:
                    continue
                scale = max(largest.get((k, name), 0.0), abs(y).max())
                largest[k, name] = scale
                error = abs(x - y).max() / scale if scale else abs(x).max()
                assert error <= tolerance, f"{where}: error {error:.2g}"
