"""Where gradients and Hessians come from, and when each source is trusted."""

import math

import numpy as np
import pytest

from stepwell.functions import minimize, surfaces
from stepwell.functions.gradients import attempt, central_gradient, torch_derivative
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


def bent(x):
    """(x-10)² + max(0, x-5)², least at 7.5, whose second part is lost to tensors."""
    return (x - 10) ** 2 + max(0.0, float(x) - 5) ** 2


def test_what_is_made_a_plain_number_is_never_trusted():
    first, again = (minimize(bent, 0.0, lr=0.1, steps=300) for _ in range(2))  # PyTorch itself warns but once
    assert (first.x, first.gradient_from) == (pytest.approx(7.5, abs=1e-6), "central differences")
    assert (first.path == again.path).all()
    assert (first.nfev, first.gradient_from) == (again.nfev, again.gradient_from)
    derivative = torch_derivative(1, bent)
    assert derivative is None or [attempt(derivative, np.float64(0.0)) for _ in range(3)] == [None] * 3


def silently_bent(x):
    return (x - 10) ** 2 + (max(0.0, float(getattr(x, "detach", lambda: x)()) - 5) ** 2 if x > 5 else 0.0)


def openly_bent(x):
    return (x - 10) ** 2 + ((float(x) - 5) ** 2 if x > 5 else 0.0)


def numerically_bent(x):
    return (x - 10) ** 2 + (np.square(np.asarray(x) - 5) if x > 5 else 0.0)


@pytest.mark.parametrize("fun", [silently_bent, openly_bent, numerically_bent])
@pytest.mark.parametrize("method", ["gradient_descent", "newton"])
def test_a_derivative_lost_on_a_branch_that_x0_does_not_take_is_found_there(fun, method: str):
    pytest.importorskip("torch")
    assert minimize(fun, 0.0, lr=0.1, steps=2).gradient_from == "torch.func"
    result = minimize(fun, 0.0, method, lr=0.1, steps=300)
    assert (result.x, result.gradient_from) == (pytest.approx(7.5, abs=1e-6), "central differences")


@pytest.mark.parametrize("fun", [silently_bent, openly_bent, numerically_bent])
def test_the_hessian_goes_where_the_gradient_goes(fun):
    pytest.importorskip("torch")
    path = minimize(fun, 0.0, "newton", steps=2).path
    assert path == pytest.approx([0.0, 10.0, 7.5], abs=1e-5)


def test_where_a_hessian_is_no_number_differences_stand_in():
    pytest.importorskip("torch")
    f = Objective(lambda x: abs(x) ** 1.5, np.float64(1.0))
    assert f.hessian(np.float64(1.0))[0] == pytest.approx(0.75)
    assert 10 < f.hessian(np.float64(0.0)).item() < 1e5
    assert f.gradient_from == "torch.func"


def test_a_given_hessian_outlives_the_automatic_gradient():
    pytest.importorskip("torch")
    seen = []
    result = minimize(silently_bent, 0.0, "newton", lr=0.5, steps=40, hess=lambda x: seen.append(x) or 2 + 2 * (x > 5))
    assert (result.x, len(seen)) == (pytest.approx(7.5, abs=1e-6), 40)


def test_a_kink_or_a_wall_is_no_reason_to_doubt():
    pytest.importorskip("torch")
    for start in (1e-12, 1e-6, 3e-6, 1e-5, 1.0):
        f = Objective(abs, np.float64(1.0))
        f.gradient(np.float64(1.0))
        assert (f.gradient(np.float64(start)), f.gradient_from) == (1.0, "torch.func")
    wall = Objective(lambda x: x**1.5, np.float64(1.0))  # no number below 0
    assert wall.gradient(np.float64(1.0)) == pytest.approx(1.5)
    with np.errstate(all="ignore"):
        assert wall.gradient(np.float64(1e-9)) == pytest.approx(1.5 * 1e-9**0.5)
    assert wall.gradient_from == "torch.func"

    def refused(x):
        if x < 0:
            raise KeyError(x)
        return x**2

    walled = Objective(refused, np.float64(1.0))
    assert walled.gradient(np.float64(1.0)) == walled.gradient(np.float64(1.0)) == 2.0
    assert walled.gradient(np.float64(1e-9)) == 2e-9
    steep = minimize(lambda x: 1e6 * x**3 + x**2, 0.5, "newton", steps=30)  # its differences are poor
    assert (steep.gradient_from, abs(steep.x) < 1e-9) == ("torch.func", True)


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
