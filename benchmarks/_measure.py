"""How figures are measured: sides in turn, medians, a named peer and the physical limit in the same run."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import torch


class Row(TypedDict):
    """One figure. `ratio` is against `peer` (above 1: better than it) and `limit` the share of the bandwidth of an
    in-place add that was reached; either may be None. `floor` is what the project promises of the first that is not."""

    name: str
    ratio: float | None
    peer: str
    limit: float | None
    floor: float | None
    detail: str


def medians(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each side; the sides take turns, there and back, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for k in range(rounds + 1):
        for name in list(sides)[:: 1 if k % 2 else -1]:  # neither side always has the other's caches before it
            start = time.perf_counter()
            sides[name]()
            if k:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def in_place_add(elements: int) -> tuple[Callable[[], object], int]:
    """torch's a += b in float32, the limit: it moves 12 bytes an element and computes next to nothing."""
    a, b = torch.zeros(elements), torch.full((elements,), 1e-9)
    return lambda: a.add_(b), 12 * elements


def with_gradients(sizes: list[int], seed: int = 0) -> list[torch.nn.Parameter]:
    """Parameters of these lengths that have gradients."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for size in sizes:  # torch's own memory, which begins at a cache line as a model's does
        p = torch.nn.Parameter(torch.randn(size, generator=generator))
        p.grad = torch.randn(size, generator=generator)
        made.append(p)
    return made


def milliseconds(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
