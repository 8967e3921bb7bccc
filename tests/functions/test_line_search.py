"""Line searches against the conditions that define them."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from stepwell.functions import minimize, surfaces
from stepwell.functions.descent import Status
from stepwell.functions.line_search import Line, armijo, bisection, wolfe
from stepwell.functions.objective import Objective
from stepwell.rule import rule

points = st.tuples(st.floats(-2, 2), st.floats(-1, 3))


SURFACES = ("rosenbrock", "beale", "himmelblau", "bowl", "ravine", "styblinski_tang", "rastrigin")


def downhill(x0: tuple[float, float], scale: float, surface: surfaces.Surface = surfaces.rosenbrock) -> Line:
    x = np.array(x0)
    f = Objective(surface, x)
    g = f.gradient(x)
    assume(g @ g > 1e-3)
    return Line(f, x, -scale * g, f.value(x), g)


@given(points, st.floats(1e-4, 1.0))
def test_bisection_finds_where_the_slope_turns(x0: tuple[float, float], scale: float):
    line = downhill(x0, scale)
    a = bisection(line)
    assert line.slope_at(a * (1 - 1e-9)) <= 0 <= line.slope_at(a * (1 + 1e-9))


@given(points, st.floats(1e-4, 1.0))
def test_armijo_takes_the_first_halving_that_lowers_f_enough(x0: tuple[float, float], scale: float):
    line = downhill(x0, scale)
    a = armijo(line)

    def enough(length: float) -> bool:
        return line.value(length) <= line.f + 1e-4 * length * line.slope + line.rounding

    assert enough(a)
    assert not any(enough(2.0**-k) for k in range(round(-math.log2(a))))


@given(st.sampled_from(SURFACES), points, st.floats(-12, 2))
@example("bowl", (1.0, 1.0), -5.0)
@example("beale", (4.0, 4.0), 0.0)
def test_wolfe_meets_both_conditions(name: str, x0: tuple[float, float], exponent: float):
    line = downhill(x0, 10.0**exponent, surfaces.named[name])
    a = wolfe(line)
    assert line.value(a) <= line.f + 1e-4 * a * line.slope + line.rounding
    assert abs(line.slope_at(a)) <= 0.9 * abs(line.slope)


def test_the_exercise_of_the_book():
    result = minimize(surfaces.log_sum_exp, 3.0, line_search="bisection", steps=1)
    assert result.x == pytest.approx(-0.768951, abs=5e-7)
    assert result.fun == pytest.approx(-0.363486, abs=5e-7)


@pytest.mark.parametrize("search", ["bisection", "armijo", "wolfe"])
def test_searched_descent_converges_and_stays_there(search: str):
    for surface, start in ((surfaces.log_sum_exp, 3.0), (surfaces.bowl, [-5.0, -2.0]), (surfaces.square, 0.0)):
        result = minimize(surface, start, line_search=search, steps=60)
        assert result.success, result.message
        assert result.nit == 60 or result.message.endswith("; the rounding of f hides any further decrease")
        assert np.ravel(result.x) == pytest.approx(surface.minima[0], abs=1e-6)


@pytest.mark.parametrize("search", ["armijo", "wolfe"])
@pytest.mark.parametrize("method", ["gradient_descent", "newton_abs"])
@pytest.mark.parametrize(
    ("name", "start", "lr"),
    [("styblinski_tang", (4, 4), 1.0), ("rastrigin", (3.4, -2.7), 1.0), ("rastrigin", (3.4, -2.7), 1e3),
     ("beale", (4, 4), 1.0), ("himmelblau", (5, 5), 1.0), ("rosenbrock", (2, -1), 1e-3)],
)  # fmt: skip
def test_searched_descent_ends_well_whatever_f_resolves(search: str, method: str, name: str, start: Any, lr: float):
    surface = surfaces.named[name]
    result = minimize(surface, start, method, line_search=search, lr=lr, steps=300)
    assert result.success, result.message
    assert (np.diff(result.values) <= 1e-12).all()
    if name in ("styblinski_tang", "rastrigin", "himmelblau"):
        assert abs(result.jac).max() < 1e-4
    if result.nit < 300:
        assert result.message == f"{result.nit} steps made; the rounding of f hides any further decrease"


@pytest.mark.parametrize("search", ["armijo", "wolfe"])
def test_where_f_resolves_no_decrease_the_slope_goes_on(search: str):
    result = minimize(surfaces.styblinski_tang, [4.0, 4.0], line_search=search, steps=300, tol=1e-10)
    assert result.success, result.message


def test_where_rounding_hides_the_decrease_a_tol_that_was_missed_is_missed():
    end = minimize(surfaces.rastrigin, [3.4, -2.7], line_search="wolfe", lr=1.0, steps=300)
    assert (end.success, end.nit < 300) == (True, True)
    missed = minimize(surfaces.rastrigin, [3.4, -2.7], line_search="wolfe", lr=1.0, steps=300, tol=1e-18)
    assert (missed.success, missed.status, missed.nit) == (False, Status.STEPS, end.nit)
    assert missed.message.endswith("above tol 1e-18; the rounding of f hides any further decrease")


def test_bisection_hits_a_zero_that_is_a_float():
    x = np.float64(1.0)
    f = Objective(surfaces.square, x)
    assert bisection(Line(f, x, np.float64(-2.0), 1.0, np.float64(2.0))) == 0.5


def test_exact_search_on_a_quadratic_gives_the_step_of_its_formula():
    x = np.array([-5.0, -2.0])
    g, H = surfaces.ravine.gradient(x), surfaces.ravine.hessian(x)
    result = minimize(surfaces.ravine, x, line_search="bisection", steps=1, lr=1e-3)
    np.testing.assert_allclose(result.x, x - (g @ g) / (g @ H @ g) * g, rtol=1e-12)


def test_the_rate_is_the_first_trial():
    assert minimize(surfaces.square, 1.0, lr=0.25, line_search="armijo", steps=1).x == 0.5
    assert minimize(surfaces.square, 1.0, lr=3.0, line_search="armijo", steps=1).x == -0.5  # 3 and 1.5 climb, .75 not
    assert minimize(surfaces.square, 1.0, line_search=lambda line: 0.125, steps=1).x == 0.75


@rule
def unscaled(g):
    """A rule without a rate."""
    return g * 1.0


def test_a_rule_without_a_rate_can_be_searched():
    assert minimize(surfaces.square, 1.0, unscaled, line_search="armijo", steps=1).x == 0.0
    assert minimize(surfaces.square, 1.0, unscaled, steps=2).path == pytest.approx([1.0, -1.0, 1.0])


def test_newton_with_armijo_solves_rosenbrock():
    result = minimize(surfaces.rosenbrock, [-1.2, 1.0], "newton_abs", line_search="armijo", tol=1e-10)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0])
    assert (np.diff(result.values) <= 1e-12).all()


def test_where_no_step_can_be_found_the_run_ends_in_words():
    uphill = minimize(surfaces.square, 1.0, line_search="armijo", noise=lambda rng, x, g: -g)
    assert (uphill.status, uphill.nit) == (Status.FAILED, 0)
    assert "the direction climbs (slope 4)" in uphill.message
    endless = minimize(lambda x: -x, 1.0, line_search="bisection", jac=lambda x: -1.0)
    assert (endless.status, endless.success) == (Status.FAILED, False)
    assert "f falls without an end" in endless.message
    lying = minimize(lambda x: x * x, 1.0, line_search="armijo", jac=lambda x: -2 * x)
    assert "no step along the direction lowers f, at x=1. after 0 steps" in lying.message
    kinked = minimize(lambda x: x * x, 1.0, line_search="wolfe", jac=lambda x: -2 * x)
    assert "strong Wolfe conditions" in kinked.message


def test_bisection_finds_its_bracket_before_an_overflow():
    result = minimize(math.cosh, 1.0, line_search="bisection", lr=1e4, steps=1, jac=lambda x: np.sinh(x))
    assert abs(result.x) < 1e-10
