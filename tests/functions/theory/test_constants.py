"""L and μ: exact where the Hessian is constant, extremes of samples elsewhere, and what they promise."""

from typing import Any

import numpy as np
import pytest

from stepwell.functions import surfaces
from stepwell.functions.theory import condition_number, lipschitz, sgd_best_rate, sgd_bound, strong_convexity


def test_quadratics_are_exact() -> None:
    for surface, least, most in (
        (surfaces.ravine, 0.2, 4.0),
        (surfaces.ravine_rotated, 0.2, 4.0),
        (surfaces.ravine_rotated_doubled, 0.4, 8.0),
        (surfaces.powers_of_two(5), 1 / 32, 1 / 2),
    ):
        smooth, strong = lipschitz(surface), strong_convexity(surface)
        assert (float(strong), float(smooth)) == pytest.approx((least, most))
        assert smooth.exact
        assert strong.exact
        assert condition_number(surface.hessian(surface.start)) == pytest.approx(most / least)
    assert float(lipschitz(surfaces.quadratic(np.diag([1.0, -3.0])))) == pytest.approx(3)


def test_others_are_estimates_that_say_so() -> None:
    smooth, strong = lipschitz(surfaces.cosh), strong_convexity(surfaces.cosh)
    assert (float(strong), float(smooth)) == pytest.approx((0.25, 0.25 * np.cosh(5)), rel=1e-3)
    assert not smooth.exact
    assert not strong.exact
    assert abs(smooth.point[0]) == 10
    assert "samples" in smooth.evidence
    plain = lipschitz(lambda x: 0.1 * x[0] ** 2 + 2 * x[1] ** 2, [(-1.0, 1.0)] * 2, points=20)
    assert float(plain) == pytest.approx(4, abs=1e-5)
    assert not plain.exact
    assert "differences" in plain.evidence
    assert float(strong_convexity(np.cos, (-1.0, 1.0), hess=lambda x: -np.cos(x))) == pytest.approx(-1, abs=1e-4)


def test_they_bound_the_gradient_and_the_function() -> None:
    surface = surfaces.beale
    most, least = float(lipschitz(surface)), float(strong_convexity(surface))
    x, y = np.random.default_rng(1).uniform(-4.5, 4.5, (2, 500, 2))
    step = np.linalg.norm(y - x, axis=-1)
    assert (np.linalg.norm(surface.gradient(y) - surface.gradient(x), axis=-1) <= most * step).all()
    tangent = surface(x) + np.sum(surface.gradient(x) * (y - x), axis=-1)
    assert (surface(y) >= tangent + least * step**2 / 2).all()
    assert (surface(y) <= tangent + most * step**2 / 2).all()


def test_the_best_rate_is_the_least_bound() -> None:
    r, slope, steps = 3.0, 0.7, 40
    best = sgd_best_rate(r, slope, steps)
    assert sgd_bound(r, slope, [best] * steps) == pytest.approx(r * slope / np.sqrt(steps))
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert sgd_bound(r, slope, [factor * best] * steps) > sgd_bound(r, slope, [best] * steps)
    assert sgd_bound(2.0, 3.0, [0.1, 0.3]) == pytest.approx((4 + 9 * 0.1) / 0.8)


def test_errors() -> None:
    for rates in ([], [0.1, 0.0], [[0.1]], [np.nan], 0.1):
        with pytest.raises(ValueError, match="rates must be"):
            sgd_bound(1.0, 1.0, rates)
    for ask in (lambda: sgd_bound(0.0, 1.0, [0.1]), lambda: sgd_best_rate(-1.0, 1.0, 3)):
        with pytest.raises(ValueError, match="r must be a finite number > 0"):
            ask()
    with pytest.raises(ValueError, match="L must be"):
        sgd_best_rate(1.0, 0.0, 3)
    with pytest.raises(ValueError, match="T must be an integer ≥ 1; got 0"):
        sgd_best_rate(1.0, 1.0, 0)
    wrong: Any = ["a"]
    with pytest.raises(TypeError, match="rates must be one or more finite numbers > 0; got"):
        sgd_bound(1.0, 1.0, wrong)
    wrong = 1.5
    with pytest.raises(TypeError, match=r"T must be an integer ≥ 1; got 1\.5"):
        sgd_best_rate(1.0, 1.0, wrong)
    with pytest.raises(ValueError, match="points must be an integer ≥ 1"):
        lipschitz(surfaces.bowl, points=0)
