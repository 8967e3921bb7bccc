"""Where the kernels for a GPU run in tests: interpreted on the CPU, or with STEPWELL_TEST_GPU=1 on a real device.

Triton looks at TRITON_INTERPRET when it is imported and when a kernel is made; this module is imported before either.
"""

import importlib.util
import os
from collections.abc import Iterator

import numpy as np
import pytest

ON_GPU = os.environ.get("STEPWELL_TEST_GPU") == "1"
DEVICE = "cuda" if ON_GPU else "cpu"
if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"
IGNORED = [] if importlib.util.find_spec("triton") else ["test_*.py"]  # there is no Triton but for Linux


@pytest.fixture(autouse=True)
def as_silent_as_a_device() -> Iterator[None]:
    """The interpreter computes with NumPy, which warns of what is not finite, also where a mask leaves it out."""
    with np.errstate(all="ignore"):
        yield
