"""Runs of `minimize` at their edges: arithmetic that ends, sets' borders, functions that write into their argument."""

import math
from typing import Any

import numpy as np
import pytest

from stepwell.functions import minimize, sets, surfaces
from stepwell.functions.descent import Status


@pytest.mark.parametrize(
    ("fun", "x0", "given"),
    [
        (lambda x: np.log1p(np.exp(x)), 3.0, {"lr": 2000.0, "jac": lambda x: 1 / (1 + math.exp(-x))}),
        (lambda x: float(x) ** 4, 5.0, {"lr": 1.0, "jac": lambda x: 4 * x**3, "steps": 50}),
        (lambda x: -math.log(x), 0.5, {"lr": 3.0, "jac": lambda x: 1 / x}),
        (lambda x: math.sqrt(x), 0.5, {"lr": 1.0}),
        (lambda x: x, 1.0, {"lr": 1.0, "jac": lambda x: 1 / float(x)}),
    ],
)
def test_arithmetic_that_ends_is_divergence(fun: Any, x0: float, given: dict[str, Any]):
    result = minimize(fun, x0, **given)
    assert (result.status, result.success) == (Status.DIVERGED, False)
    assert np.isfinite(result.path[0])
    assert "is not finite at step" in result.message


@pytest.mark.parametrize(
    "hess",
    [lambda x: 2 + math.exp(1e4 * (1 - x)), lambda x: 2 * math.sqrt(x - 1), lambda x: 2 / max(float(x) - 1, 0.0)],
)
def test_a_hessian_whose_arithmetic_ends_is_a_result(hess: Any):
    result = minimize(lambda x: x**2, 2.0, "newton", lr=0.6, steps=5, jac=lambda x: 2 * x, hess=hess)
    assert (result.status, result.nit, result.x) == (Status.FAILED, 1, pytest.approx(0.8))
    assert "the Hessian holds a NaN" in result.message


def test_tol_is_for_what_the_projection_leaves_of_the_gradient():
    def away(x):
        return (x - 3) @ (x - 3)

    ball = sets.Ball(1.0)
    result = minimize(away, [0.0, 0.0], lr=0.1, steps=500, project=ball, tol=1e-6, jac=lambda x: 2 * (x - 3))
    assert result.success, result.message
    assert result.x == pytest.approx(np.sqrt([0.5, 0.5]), abs=1e-6)
    assert result.message.startswith("converged: ‖x - P(x - ∇f)‖ is ")
    assert 1 < result.nit < 100
    missed = minimize(away, [0.0, -1.0], lr=1e-3, steps=5, project=ball, tol=1e-6, jac=lambda x: 2 * (x - 3))
    assert (missed.success, missed.status) == (False, Status.STEPS)
    assert not minimize(away, [0.0, 0.0], steps=0, project=ball, tol=0.5, jac=lambda x: 2 * (x - 3)).success
    inside = minimize(surfaces.bowl, [0.5, 0.5], lr=0.1, steps=500, project=ball, tol=1e-6)
    assert inside.success
    assert abs(inside.jac).max() <= 1e-6


def test_what_callbacks_and_hessians_are_given_is_their_own():
    def spoil(intermediate_result):
        intermediate_result.x[:] = np.nan

    watched = minimize(surfaces.bowl, [1.0, 2.0], lr=0.1, steps=5, callback=spoil)
    assert (watched.path == minimize(surfaces.bowl, [1.0, 2.0], lr=0.1, steps=5).path).all()

    def hess(x):
        x[:] = np.nan
        return np.diag([2.0, 4.0])

    result = minimize(surfaces.bowl, [1.0, 2.0], "newton", lr=0.5, steps=2, hess=hess)
    assert result.x == pytest.approx([0.25, 0.5])
