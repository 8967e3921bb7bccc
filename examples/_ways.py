"""One model trained in several ways, and what each costs: what the examples share."""

import contextlib
import ctypes
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import stepwell.torch
from stepwell.lab.names import count

EVERY = 5.0  # seconds between two lines of progress
MEASURED = 10  # steps in which memory is measured; later there is also what evaluations left to the allocator
EVALUATIONS = 10  # on what is held out
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux: its peak of memory, and a new start


@dataclass(frozen=True)
class Task:
    """What is learnt. `build(sparse)` makes the model, `batches(seed)` what it sees, `loss(model, batch)` [nats] what
    falls, `held(model)` the loss on what it never sees; `level` is a loss to compare with, and its name."""

    title: str
    build: Callable[[bool], nn.Module]
    batches: Callable[[int], Iterator[Any]]
    loss: Callable[[Any, Any], Tensor]
    held: Callable[[Any], float]
    level: tuple[float, str]


@dataclass(frozen=True)
class Way:
    """How it is learnt: with dense gradients or sparse ones, by which optimizer, in how many steps; whether the weights
    can be compared with the first way's."""

    name: str
    sparse: bool
    make: Callable[[Any], stepwell.torch.Optimizer]
    steps: int
    alike: bool = True


@dataclass
class Run:
    """What came of it: losses [nats], seconds, bytes; `difference`, the largest of any weight from the first way's."""

    way: Way
    losses: list[float] = field(default_factory=list)
    held: dict[int, float] = field(default_factory=dict)
    whole: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    parameters: int = 0
    state: int = 0
    extra: int | None = None
    difference: float | None = None
    flush: float = 0.0


def optimizers() -> dict[str, Callable[..., stepwell.torch.Optimizer]]:
    """Those of the torch door, by their names in small letters."""
    found = {name.lower(): getattr(stepwell.torch, name) for name in stepwell.torch.__all__}
    base = stepwell.torch.Optimizer
    return {k: v for k, v in found.items() if isinstance(v, type) and issubclass(v, base) and v is not base}


def three(optimizer: Callable[..., stepwell.torch.Optimizer], lr: float, steps: int, dense_steps: int) -> list[Way]:
    """Dense gradients, sparse ones in which only the named rows change, and sparse ones that come to the dense."""
    return [
        Way("dense", False, lambda params: optimizer(params, lr=lr), dense_steps),
        Way("sparse, lazy", True, lambda params: optimizer(params, lr=lr, sparse="lazy"), steps),
        Way("sparse, exact", True, lambda params: optimizer(params, lr=lr, sparse="exact"), steps),
    ]


def compare(task: Task, small: Task, ways: Sequence[Way], seed: int) -> list[Run]:
    """Train each way from the same seed and batches. Weights are compared at the step where the first way ends.

    `small`, the same task with small tables, comes before: what is compiled and loaded once counts nowhere.
    """
    say("warming up on small tables")
    for way in ways:
        _train(small, replace(way, steps=3), {3}, 3, None, seed)
    runs: list[Run] = []
    weights: list[Tensor] | None = None
    at, lengths = ways[0].steps, [way.steps for way in ways]
    steps = {0, at, *spread(max(lengths), EVALUATIONS, end_early(lengths))}
    for way in ways:
        say(f"{way.name}: {count(way.steps, 'step')}")
        run, model = _train(task, way, steps, at, weights, seed)
        weights = weights or [p.detach() for p in model.parameters()]
        del model  # the next way's is as large
        runs.append(run)
    return runs


def end_early(lengths: Sequence[int]) -> bool:
    """Whether some ways end so early that steps are best looked at by their logarithm."""
    return max(lengths) > 5 * min(lengths)


def spread(steps: int, number: int, by_logarithm: bool) -> list[int]:
    """About that many steps, the last among them, evenly or by their logarithm from 1 on."""
    found = np.geomspace(1, steps, number) if by_logarithm else np.linspace(0, steps, number + 1)[1:]
    return np.unique(np.ceil(found - 1e-9).astype(int)).tolist()


def _train(
    task: Task, way: Way, evaluations: set[int], at: int, weights: list[Tensor] | None, seed: int
) -> tuple[Run, nn.Module]:  # fmt: skip
    gc.collect()
    _trim()
    began = said = time.monotonic()
    before, peak = _resident("VmRSS"), 0
    torch.manual_seed(seed)
    model, run = task.build(way.sparse), Run(way)
    optimizer = way.make(model.parameters())
    for step, batch in enumerate(islice(task.batches(seed), way.steps), 1):
        if step == 1:
            _hold_out(task, model, optimizer, run, 0)
        _forget_peak()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        middle = time.perf_counter()
        optimizer.step()
        end = time.perf_counter()
        if step <= MEASURED:
            peak = max(peak, _resident("VmHWM"))
        run.whole.append(end - start)
        run.step.append(end - middle)
        run.losses.append(loss.item())
        if step == at:
            start = time.perf_counter()
            optimizer.flush()
            run.flush = time.perf_counter() - start
            run.difference = _difference(model, weights) if way.alike else None
        if step in evaluations or step == way.steps:
            _hold_out(task, model, optimizer, run, step)
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            say(f"{way.name}: {step} of {way.steps} steps, {said - began:.0f} s")
    optimizer.flush()
    run.parameters = sum(p.nbytes for p in model.parameters())
    run.state = sum(x.nbytes for entry in optimizer.state.values() for x in entry.values())
    run.extra = max(peak - before - run.parameters - run.state, 0) if peak else None
    return run, model


def _hold_out(task: Task, model: nn.Module, optimizer: stepwell.torch.Optimizer, run: Run, step: int) -> None:
    optimizer.flush()  # not all models read their tables through layers alone
    model.eval()
    with torch.no_grad():
        run.held[step] = task.held(model)
    model.train()
    _trim()


def _difference(model: nn.Module, weights: list[Tensor] | None) -> float | None:
    if weights is None:
        return None
    with torch.no_grad():
        pairs = zip(model.parameters(), weights, strict=True)
        blocks = (block for p, w in pairs for block in zip(p.split(1 << 16), w.split(1 << 16), strict=True))
        return max(float((p - w).abs().max()) for p, w in blocks)


def _resident(key: str) -> int:
    """Bytes of memory, now (VmRSS) or at the peak (VmHWM); 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return next((int(x.split()[1]) << 10 for x in STATUS.read_text().splitlines() if x.startswith(key)), 0)
    return 0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")


def _trim() -> None:
    """Give freed memory back to the system, so that it is not taken for somebody's."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)
