"""What a user waits for before the first step, and the memory of a step."""

import os
import subprocess
import sys
import tempfile

from _measure import Row

_IMPORT = """
import time
import numpy
start = time.perf_counter()
import stepwell, stepwell.rules, stepwell.schedules
print(time.perf_counter() - start)
"""
_FIRST_STEP = """
import time
import torch
p = torch.nn.Parameter(torch.zeros(1000)); p.grad = torch.ones(1000)
torch.optim.Adam([p])  # torch imports parts of itself when the first optimizer is made
start = time.perf_counter()
from stepwell.torch import Adam
Adam([p]).step()
print(time.perf_counter() - start)
"""
_MEMORY = """
import resource
import torch
from stepwell.torch import Adam
small = torch.nn.Parameter(torch.zeros(1000)); small.grad = torch.ones(1000)
Adam([small]).step()
p = torch.nn.Parameter(torch.zeros(50_000_000)); p.grad = torch.ones(50_000_000)
optimizer = Adam([p])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
optimizer.step()
for _ in range(3):
    optimizer.step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 - 2 * 200e6 / 2**20)
"""


def main(quick: bool = False) -> list[Row]:
    """Seconds and megabytes; here a ratio is the promise over the figure, so above 1 is better than promised."""
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory() as folder:
        imported = sorted(_run(_IMPORT, folder) for _ in range(rounds))[rounds // 2]
        cold = _run(_FIRST_STEP, folder)
        warm = sorted(_run(_FIRST_STEP, folder) for _ in range(rounds))[rounds // 2]
        memory = sorted(_run(_MEMORY, folder) for _ in range(3))[1]
    return [
        _row("import stepwell, beside numpy", imported, 0.15, "s"),
        _row("first step, empty kernel cache", cold, 3.0, "s"),
        _row("first step, warm kernel cache", warm, 0.6, "s"),
        _row("peak memory of a step beyond its state", max(memory, 0.001), 1.0, "MB"),
    ]


def _run(program: str, cache: str) -> float:
    environment = {**os.environ, "STEPWELL_CACHE": cache}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _row(name: str, value: float, promise: float, unit: str) -> Row:
    return Row(
        name=name, ratio=promise / value, peer=f"promise: {promise} {unit}", limit=None, floor=1.0,
        detail=f"{value:.3f} {unit}",
    )  # fmt: skip
