"""The introduction's section: minima, saddles and flat places."""

import numpy as np
import pytest

from stepwell.book import intro
from stepwell.functions import surfaces
from tests.book.harness import detects


def test_the_minima_on_a_grid() -> None:
    x = np.linspace(0.5, 1.5, 1_000_001)
    for f, at, least in (
        (x * np.cos(np.pi * x), 1.0904, -1.0467),
        (x * np.cos(np.pi * x) + 0.2 * np.cos(5 * np.pi * x), 1.0170, -1.2085),
    ):
        assert x[f.argmin()] == pytest.approx(at, abs=5e-5)
        assert f.min() == pytest.approx(least, abs=5e-5)


def test_wrong_surfaces_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        risk = empirical_risk = surfaces.risk
        local_minimum = surfaces.cosine
        tanh = surfaces.cubic
        saddle, cubic, bowl, cosine = surfaces.bowl, surfaces.square, surfaces.saddle, surfaces.square

    for name in ("risk", "local_minima", "saddle_points", "vanishing_gradients"):
        with monkeypatch.context() as patch:
            detects(patch, intro, "intro", name, surfaces=Wrong)
