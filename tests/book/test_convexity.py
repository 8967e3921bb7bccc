"""Convexity's section: chords, Jensen, projections, constraints."""

from typing import Any

import numpy as np
import pytest

from stepwell.book import convexity
from stepwell.functions import minimize, sets, surfaces
from tests.book.harness import detects


def test_a_function_that_is_not_convex_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        named = surfaces.named | {"half_square": surfaces.cosine}
        log_sum_exp, local_minimum = surfaces.wave, surfaces.half_square

    for name in ("chords", "minima_are_global"):
        with monkeypatch.context() as patch:
            detects(patch, convexity, "convexity", name, surfaces=Wrong)


def test_descent_without_projection_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(*args: Any, project: Any = None, **kwargs: Any) -> Any:
        return minimize(*args, **kwargs)

    detects(monkeypatch, convexity, "convexity", "projections", minimize=free)


def test_the_constrained_minimum_longhand() -> None:
    x = np.linspace(0, 1, 100_001)
    best = x[(x**2 + 2 * (1 - x) ** 2).argmin()]
    assert best == pytest.approx(2 / 3, abs=1e-5)
    assert 2 * best == pytest.approx(4 / 3, abs=2e-5)  # ∇f = λ∇c: 2x₁ = λ


def test_clipping_is_the_closest_point_of_the_ball() -> None:
    g = np.array([3.0, 4.0])
    angles = np.linspace(0, 2 * np.pi, 100_001)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    closest = circle[np.linalg.norm(circle - g, axis=1).argmin()]
    assert sets.clip(g, 1.0) == pytest.approx(closest, abs=1e-4)
