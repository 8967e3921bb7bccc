"""What the interpreter cannot show: the kernels compile for a real GPU, move 16 bytes at a time, and round every
operation to nearest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE = 300


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict[str, int]]:
    folder = tmp_path_factory.mktemp("triton")
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env |= {"TRITON_CACHE_DIR": str(folder), "STEPWELL_CACHE": str(folder / "stepwell")}
    root = Path(__file__).parents[3]
    env["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("compiled.py"))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_every_kernel_compiles_for_an_h200(found):
    assert len(found) == 11


def test_whole_blocks_are_moved_16_bytes_at_a_time(found):
    """Adam reads 4 arrays and writes 3, of 16 numbers a thread: 4 numbers, or 2 of 8 bytes, or 8 of 2, at a time."""
    assert (found["adam float32"]["16 bytes read"], found["adam float32"]["16 bytes written"]) == (16, 12)
    assert (found["radam float16"]["16 bytes read"], found["radam float16"]["16 bytes written"]) == (8, 6)
    assert found["nadam float64"]["16 bytes read"] == 5 * 8
    assert all(counts["16 bytes read"] > 0 for name, counts in found.items() if name.startswith("norm"))


def test_every_operation_is_rounded_to_nearest_by_itself(found):
    for name, counts in found.items():
        assert counts["other division"] == counts["other root"] == 0, name
    assert found["adam float32"]["fused"] == 0
    assert (
        found["adam float32"]["rounded division"] == 2 * 3 * 16
    )  # in both ways through the kernel, 16 numbers a thread
    assert found["adam float32"]["rounded root"] == 2 * 16
