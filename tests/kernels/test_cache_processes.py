"""Compiled kernels between processes: racing writers, a reader that does not compile, no home, no compiler at all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stepwell import rules

STEPS = """
import numpy as np
from stepwell.numpy import Adam
params = [np.linspace(-1, 1, 1000), np.linspace(1, 2, 50).astype(np.float32)]
optimizer = Adam(params, lr=0.1, clip_norm=1.0)
for k in range(3):
    optimizer.step([np.cos(p * (k + 1)).astype(p.dtype) for p in params])
print(" ".join(float(x).hex() for p in params for x in p[::7]))
"""
WITHOUT_COMPILING = """
from numba.core.dispatcher import Dispatcher
def refuse(self, signature):
    raise AssertionError(f"{self.__name__} was compiled")
Dispatcher.compile = refuse
"""
PATIENCE = 120


def start(code: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def numbers(process: "subprocess.Popen[str]") -> list[float]:
    """What the process printed, which must have ended well and in silence."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    return [float.fromhex(x) for x in output.split()]


def expected() -> list[float]:
    """The same steps from the rule, in float64."""
    params = [np.linspace(-1, 1, 1000), np.linspace(1, 2, 50).astype(np.float32).astype(np.float64)]
    states = [[0 * p, 0 * p] for p in params]
    hyper = rules.adam.complete({"lr": 0.1})
    for k in range(3):
        grads = [np.cos(p * (k + 1)) for p in params]
        factor = min(1.0, 1 / (np.sqrt(sum((g**2).sum() for g in grads)) + 1e-6))
        for j, g in enumerate(grads):
            step, *states[j] = rules.adam(factor * g, *states[j], k + 1, **hyper)
            params[j] = params[j] - step
    return [float(x) for p in params for x in p[::7]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A cache that two processes have filled in a race, from nothing."""
    folder = tmp_path_factory.mktemp("race") / "cache"
    both = [start(STEPS, STEPWELL_CACHE=str(folder)) for _ in range(2)]
    one, other = map(numbers, both)
    assert one == other
    np.testing.assert_allclose(one, expected(), rtol=1e-5)
    return folder


def test_racing_processes_leave_one_file_a_kernel_and_nothing_else(filled):
    assert [path.suffix for path in filled.iterdir()] == [".kernel", ".kernel"]  # float32 and float64


def test_a_second_process_loads_without_compiling(filled):
    np.testing.assert_allclose(
        numbers(start(WITHOUT_COMPILING + STEPS, STEPWELL_CACHE=str(filled))), expected(), rtol=1e-5
    )


def test_that_test_would_see_a_compilation(tmp_path):
    process = start(WITHOUT_COMPILING + STEPS, STEPWELL_CACHE=str(tmp_path))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "kernel was compiled" in errors


def test_without_a_compiler_the_numbers_are_the_same(filled):
    found = numbers(start(STEPS, STEPWELL_CACHE=str(filled / "none"), NUMBA_DISABLE_JIT="1"))
    np.testing.assert_allclose(found, numbers(start(STEPS, STEPWELL_CACHE=str(filled))), rtol=1e-5)
    np.testing.assert_allclose(found, expected(), rtol=1e-5)
    assert not (filled / "none").exists()


def test_without_a_home_it_works(filled, tmp_path):
    """HOME unset, and an XDG_CACHE_HOME to keep this test to itself."""
    code = "import os; os.environ.pop('HOME', None); os.environ.pop('STEPWELL_CACHE', None)\n" + STEPS
    np.testing.assert_allclose(numbers(start(code, XDG_CACHE_HOME=str(tmp_path))), expected(), rtol=1e-5)
    assert len(list((tmp_path / "stepwell").glob("*.kernel"))) == 2
