"""Where gradients and Hessians come from, and when each source is trusted."""

import math

import numpy as np
import pytest

from stepwell.functions import minimize, surfaces
from stepwell.functions.gradients import central_gradient
from stepwell.functions.objective import Objective

X = np.array([0.3, -1.2, 2.0])


def smooth(x):
    return ((x**2).sum()) ** 2 / 4 + x[0] * x[1]


def smooth_gradient(x):
    return (x @ x) * x + np.array([x[1], x[0], 0.0])


def smooth_hessian(x):
    H = (x @ x) * np.eye(3) + 2 * np.outer(x, x)
    H[0, 1] += 1
    H[1, 0] += 1
    return H


def test_central_differences_agree_with_the_formula():
    assert central_gradient(smooth, X) == pytest.approx(smooth_gradient(X), abs=1e-8)
    assert central_gradient(lambda x: x[0, 1] ** 2, np.arange(4.0).reshape(2, 2)).shape == (2, 2)
    assert central_gradient(lambda x: x**2, np.float64(1e8)) == pytest.approx(2e8, rel=1e-8)


def test_a_function_that_runs_on_tensors_is_differentiated_exactly():
    pytest.importorskip("torch")
    f = Objective(smooth, X)
    np.testing.assert_allclose(f.gradient(X), smooth_gradient(X), rtol=1e-12, atol=1e-14)
    assert f.gradient_from == "torch.func"
    np.testing.assert_allclose(f.hessian(X)[0], smooth_hessian(X), rtol=1e-12, atol=1e-14)


def test_numpy_and_math_functions_fall_back_to_differences():
    f = Objective(lambda x: math.cos(x[0]) + np.exp(x[1]), X[:2])
    np.testing.assert_allclose(f.gradient(X[:2]), [-math.sin(0.3), math.exp(-1.2)], atol=1e-9)
    assert f.gradient_from == "central differences"
    np.testing.assert_allclose(f.hessian(X[:2])[0], np.diag([-math.cos(0.3), math.exp(-1.2)]), atol=1e-6)


def test_a_derivative_lost_on_the_way_is_not_trusted():
    torch = pytest.importorskip("torch")

    def lossy(x):
        whole = x.detach() if isinstance(x, torch.Tensor) else x
        return (whole * x).sum()  # its derivative is 2x; torch sees x

    for start in (X, np.zeros(3)):  # where both are 0 the point beside tells them apart
        f = Objective(lossy, start)
        f.gradient(start)
        assert f.gradient_from == "central differences"
    np.testing.assert_allclose(f.gradient(X), 2 * X, atol=1e-9)


def test_what_is_given_is_what_is_used():
    calls = []
    result = minimize(
        surfaces.square, 2.0, "newton", steps=1, jac=lambda x: 4.0, hess=lambda x: calls.append(x) or [[8.0]]
    )
    assert (result.x, result.gradient_from, calls) == (1.5, "jac", [2.0])
    assert minimize(surfaces.square, 2.0).gradient_from == "surface"


def test_a_hessian_is_found_from_a_gradient_alone():
    f = Objective(lambda x: math.fsum(x**4), X, jac=lambda x: 4 * x**3)
    np.testing.assert_allclose(f.hessian(X)[0], np.diag(12 * X**2), atol=1e-7)
    assert minimize(lambda x: x**4, 1.0, "newton", steps=3, jac=lambda x: 4 * x**3).x == pytest.approx((2 / 3) ** 3)


@pytest.mark.parametrize("source", [{}, {"jac": smooth_gradient}, {"jac": smooth_gradient, "hess": smooth_hessian}])
def test_newton_is_the_same_from_every_source(source):
    exact = minimize(smooth, X, "newton", steps=4, jac=smooth_gradient, hess=smooth_hessian)
    assert minimize(smooth, X, "newton", steps=4, **source).x == pytest.approx(exact.x, abs=1e-6)


def test_arrays_of_two_axes_are_one_point_of_a_plain_function():
    result = minimize(lambda x: (x**4).sum() + (x**2).sum(), np.ones((2, 3)), "newton", steps=8)
    assert result.path.shape == (9, 2, 3)
    assert abs(result.x).max() < 1e-9
