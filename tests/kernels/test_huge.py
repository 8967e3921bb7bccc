"""Large pages are asked for and nothing else: what an array holds, and where it lies, stay as they were."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from stepwell.kernels import huge


def test_the_array_is_untouched():
    a = np.arange(1 << 23, dtype=np.float64)
    address = a.ctypes.data
    huge.prefer(address, a.nbytes)
    np.testing.assert_array_equal(a, np.arange(1 << 23, dtype=np.float64))
    assert a.ctypes.data == address


@pytest.mark.parametrize(
    ("address", "size", "expected"),
    [
        (huge.PAGE, huge.WORTH, (huge.PAGE, huge.WORTH)),
        (huge.PAGE + 64, huge.WORTH, (2 * huge.PAGE, huge.WORTH - huge.PAGE)),  # whole pages inside the array only
        (huge.PAGE, huge.WORTH - 1, None),
    ],
)
def test_only_whole_pages_of_large_arrays(monkeypatch, address, size, expected):
    asked = []
    monkeypatch.setattr(huge, "_madvise", lambda: lambda *args: asked.append(args))
    huge.prefer(address, size)
    assert {args[:2] for args in asked} == (set() if expected is None else {expected})


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_elsewhere_nothing_happens(monkeypatch, system):
    monkeypatch.setattr(huge.platform, "system", lambda: system)
    assert huge._madvise.__wrapped__() is None


def test_a_system_without_the_call(monkeypatch):
    monkeypatch.setattr(huge.platform, "system", lambda: "Linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert huge._madvise.__wrapped__() is None
