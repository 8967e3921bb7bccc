"""Newton and its kin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.functions import methods, minimize, surfaces
from stepwell.functions.descent import Status

seeds = st.integers(0, 2**32 - 1)


def symmetric(seed: int, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, n))
    return half + half.T, rng.normal(size=n)


@given(seeds)
def test_newton_solves_its_system_and_newton_abs_that_of_the_absolute_hessian(seed: int):
    H, g = symmetric(seed)
    assert H @ methods.newton(H[None], g[None])[0] == pytest.approx(g, abs=1e-8)
    curvature, V = np.linalg.eigh(H)
    absolute = V @ np.diag(abs(curvature)) @ V.T
    for solve in (methods.newton_abs, methods.newton_floored):
        step = solve(H[None], g[None])[0]
        assert absolute @ step == pytest.approx(g, abs=1e-8)
        assert g @ step > 0  # it descends whatever the signs of the curvatures
    assert methods.diagonal(H[None], g[None])[0] == pytest.approx(g / H.diagonal())


@given(seeds)
def test_newton_ends_a_quadratic_in_one_step(seed: int):
    H, c = symmetric(seed)
    result = minimize(
        lambda x: x @ H @ x / 2 + c @ x, np.zeros(4), "newton", steps=1, jac=lambda x: H @ x + c, hess=lambda x: H
    )
    assert abs(result.jac).max() < 1e-8 * np.linalg.cond(H)


def test_newton_errors_square_near_the_minimum():
    path = minimize(surfaces.log_sum_exp, -0.6, "newton", steps=4).path
    error = abs(path - surfaces.log_sum_exp.minima[0][0])
    assert (error[1:4] <= 2.0 * error[:3] ** 2 + 1e-15).all()


def test_newton_abs_leaves_a_saddle_that_newton_ends_in():
    assert minimize(surfaces.saddle, [0.5, 0.01], "newton", steps=5).x == pytest.approx([0.0, 0.0])
    away = minimize(surfaces.saddle, [0.5, 0.01], "newton_abs", steps=5).x
    assert away == pytest.approx([0.0, 0.01 * 2**5])


def test_badly_scaled_is_not_singular():
    H = np.array([[1e20, 1.0], [1.0, 1e-10]])
    assert H @ methods.newton(H[None], np.ones((1, 2)))[0] == pytest.approx([1.0, 1.0])
    for solve in (methods.newton, methods.newton_abs):
        assert solve(np.diag([2e-20, 2.0])[None], np.ones((1, 2)))[0] == pytest.approx([5e19, 0.5])


def test_newton_abs_refuses_eigenvalues_that_rounding_has_taken():
    scale = np.array([1.0, 1e-11, 1e-4])
    core = np.array([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0], [1.0, 1.0, 4.0]])
    H = scale[:, None] * core * scale  # regular, but its smallest eigenvalue is 1e-22 of the largest
    assert H @ methods.newton(H[None], np.ones((1, 3)))[0] == pytest.approx(np.ones(3), rel=1e-3)
    with pytest.raises(methods.StepFailed, match="too far apart for float64"):
        methods.newton_abs(H[None], np.ones((1, 3)))


@pytest.mark.parametrize("H", [np.zeros((2, 2)), np.outer([0.1, 0.3], [0.1, 0.3]), np.diag([1.0, 0.0])])
def test_a_singular_hessian_is_a_result(H: np.ndarray):
    for method in ("newton", "newton_abs"):
        result = minimize(lambda x: x @ H @ x / 2, [1.0, 2.0], method, jac=lambda x: H @ x, hess=lambda x: H)
        assert (result.status, result.success, result.nit) == (Status.FAILED, False, 0)
        assert result.message == "the Hessian is singular, at x=[1. 2.] after 0 steps"
    floored = minimize(lambda x: x @ H @ x / 2, [1.0, 2.0], "newton_floored", jac=lambda x: H @ x, hess=lambda x: H)
    assert floored.success
    assert abs(floored.jac).max() < 1e-9


def test_a_zero_on_the_diagonal_is_a_result():
    result = minimize(lambda x: x[0] * x[1], [1.0, 2.0], "diagonal", hess=lambda x: [[0, 1], [1, 0]])
    assert (result.status, result.nit) == (Status.FAILED, 0)
    assert "diagonal has a zero" in result.message


def test_a_hessian_that_breaks_later_is_a_result():
    result = minimize(surfaces.square, 1.0, "newton", lr=0.5, hess=lambda x: 2.0 if x > 0.3 else math.nan)
    assert (result.status, result.nit, result.x) == (Status.FAILED, 2, 0.25)
    assert "the Hessian holds a NaN or an infinity" in result.message


def test_damping_and_preconditioning():
    assert minimize(surfaces.square, 1.0, "newton", lr=0.25, steps=2).x == 0.75**2
    assert minimize(surfaces.ravine, [-5.0, -2.0], "diagonal", steps=1).x == pytest.approx([0.0, 0.0], abs=1e-15)
    rotated = minimize(surfaces.ravine_rotated, [-5.0, -2.0], "diagonal", steps=1).x
    assert abs(rotated).max() > 0.1  # turned axes are what it cannot see
