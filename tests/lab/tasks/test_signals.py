"""The generated series are what their description says."""

import math

import numpy as np
import pytest

from stepwell.lab.tasks import signals


def test_kinds_are_equally_often_and_series_not_alike() -> None:
    x, y = signals.generated(200, seed=3)
    assert (x.shape, x.dtype, y.dtype) == ((200, 1, 40), np.float32, np.int64)
    assert np.bincount(y).tolist() == [20] * 10
    assert np.array_equal(x, signals.generated(200, seed=3)[0])
    assert not np.array_equal(x, signals.generated(200, seed=4)[0])


def test_a_series_is_its_pattern_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a point for each of the pattern's, linear interpolation keeps the sum, wherever the pattern is."""
    for name, value in {"SCALE": 0.0, "SLOPE": 0.0, "SMOOTH": 0.0, "ROUGH": 0.0, "LENGTHS": (40, 40)}.items():
        monkeypatch.setattr(signals, name, value)
    x, y = signals.generated(100, seed=0)
    sums = np.array([pattern.sum() for pattern in signals.PATTERNS])
    assert x.sum(axis=(1, 2)) == pytest.approx(sums[y], abs=1e-4)
    assert ((np.abs(x[:, 0]) > 0).sum(axis=1) <= 13).all()
    points = np.concatenate(signals.PATTERNS).astype(np.float32)
    assert np.isin(x[np.abs(x) > 1e-3], points).mean() < 0.5  # else nothing is between them
    for series, kind in zip(x[:, 0], y, strict=True):
        fits = [max(np.roll(np.pad(p, (0, 28)), k) @ series for k in range(40)) for p in signals.PATTERNS]
        assert fits[kind] > 0.7 * signals.PATTERNS[kind] @ signals.PATTERNS[kind]
    assert len(set(np.abs(x[:, 0]).argmax(axis=1))) > 20  # anywhere


def test_the_noise_is_as_large_and_as_smooth_as_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "PATTERNS", tuple(np.zeros(12) for _ in range(10)))
    monkeypatch.setattr(signals, "SLOPE", 0.0)
    x = signals.generated(5000, seed=0)[0][:, 0, 8:-8].astype(np.float64)
    variance = signals.SMOOTH**2 + signals.ROUGH**2
    assert np.mean(x**2) == pytest.approx(variance, rel=0.1)
    neighbours = math.exp(-1 / (4 * signals.REACH**2)) * signals.SMOOTH**2 / variance
    assert np.mean(x[:, 1:] * x[:, :-1]) / np.mean(x**2) == pytest.approx(neighbours, abs=0.02)
