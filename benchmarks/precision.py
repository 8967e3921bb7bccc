"""Less memory: the step, the bytes and the losses of Adam with state in bfloat16 and in 8 bits, and in backward().

The step: 50 million float32 parameters, against torch.optim.Adam(fused=True) in the same run. The losses: the bundled
tasks, at the learning rate that is best for float32, over 10 seeds; what a narrow state changes in their mean is held
against the noise floor, by which two means of float32 at other seeds differ.
"""

import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

import torch

import stepwell.torch as ours
from _measure import Row, in_place_add, medians, milliseconds, with_gradients
from stepwell.lab import tasks
from stepwell.lab.candidates import choose
from stepwell.lab.statistics import noise_floor
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial

NARROW = {"8bit": 1.3, "bfloat16": 1.2}  # what is promised of the step
BYTES = {"8bit": 2.1, "bfloat16": 4.1}  # of state a parameter
MOVED = {"8bit": 16, "bfloat16": 20}  # bytes a parameter that a step must move
SEEDS = 10
RATES = (3e-4, 1e-3, 3e-3, 1e-2)


def main(quick: bool = False) -> Iterator[Row]:
    """Steps, bytes, the peak of memory; then the losses, which take half an hour (two tasks, three seeds if quick)."""
    yield from _steps(5_000_000 if quick else 50_000_000, 5 if quick else 25)
    yield _peak()
    for name in ("airfoil", "digits") if quick else tasks.named:
        yield from _losses(name, 3 if quick else SEEDS)


def _steps(size: int, rounds: int) -> list[Row]:
    add, add_bytes = in_place_add(size)
    peer = torch.optim.Adam(with_gradients([size]), fused=True)
    mine = {dtype: ours.Adam(with_gradients([size]), state_dtype=dtype) for dtype in NARROW}
    times = medians({"peer": peer.step, "add": add, **{k: o.step for k, o in mine.items()}}, rounds)
    rows: list[Row] = []
    for dtype, optimizer in mine.items():
        (state,) = optimizer.state.values()
        weight = sum(x.numel() * x.element_size() for x in state.values()) / size
        limit = (MOVED[dtype] * size / times[dtype]) / (add_bytes / times["add"])
        detail = f"{milliseconds(times[dtype])} against {milliseconds(times['peer'])}"
        rows += [
            Row(name=f"Adam's step, state in {dtype}", ratio=times["peer"] / times[dtype],
                peer="torch.optim.Adam, fused, float32", limit=limit, floor=NARROW[dtype], detail=detail),
            Row(name=f"Adam's state in {dtype}", ratio=8 / weight, peer="float32", limit=None, floor=8 / BYTES[dtype],
                detail=f"{weight:.3f} bytes a parameter"),
        ]  # fmt: skip
    return rows


_PEAK = """
import sys, torch
import stepwell.torch as door
layers = torch.nn.Sequential(*(torch.nn.Linear(2048, 2048, bias=False) for _ in range(10)))
optimizer = door.Adam(layers.parameters(), in_backward=sys.argv[1] == "yes")
for _ in range(3):
    open("/proc/self/clear_refs", "w").write("5")
    layers(torch.ones(1, 2048)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def _peak() -> Row:
    """Ten matrices of 16 MiB: the gradients less the largest one are nine of them."""
    freed = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # what is let go is given back at once
    peaks = [
        int(subprocess.run([sys.executable, "-c", _PEAK, how], capture_output=True, check=True, env=freed).stdout)
        / 1024
        for how in ("no", "yes")
    ]
    return Row(
        name="peak of memory, Adam in backward()", ratio=(peaks[0] - peaks[1]) / (9 * 16), peer="gradients less one",
        limit=None, floor=0.98, detail=f"{peaks[1]:.0f} MiB against {peaks[0]:.0f}; gradients of 160",
    )  # fmt: skip


def _losses(name: str, seeds: int) -> Iterator[Row]:
    task = tasks.named[name](None)
    steps = task.steps(None)
    kinds = {"float32": None, "bfloat16": "bfloat16", "8bit": "8bit"}
    known = choose({k: lambda params, lr, d=d: ours.Adam(params, lr=lr, state_dtype=d) for k, d in kinds.items()})

    def loss(kind: str, lr: float, seed: int) -> float:
        found = train(task, Trial.of(kind, {"lr": lr}, seed, steps), known).loss
        return math.inf if found is None else found

    best = min(RATES, key=lambda lr: loss("float32", lr, 0))
    found = {kind: [loss(kind, best, seed) for seed in range(1, seeds + 1)] for kind in kinds}
    again = [loss("float32", best, seed) for seed in range(seeds + 1, 2 * seeds + 1)]
    noise = noise_floor(found["float32"], again, 0.95)
    base = statistics.fmean(found["float32"])
    for kind in NARROW:
        off = statistics.fmean(found[kind]) - base
        yield Row(
            name=f"final loss of {name}, state in {kind}", ratio=noise / max(abs(off), noise / 99), floor=1.0,
            peer="float32's noise floor", limit=None,
            detail=f"{base:.4g} {off:+.2g}, noise {noise:.2g}, {seeds} seeds, lr {best:g}",
        )  # fmt: skip
