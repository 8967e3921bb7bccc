"""Penalties and multipliers against hand-known problems, SciPy's SLSQP and the saddle point's own inequality."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

from stepwell.functions import minimize, surfaces
from stepwell.functions.constraints import augmented_lagrangian, penalized
from stepwell.functions.descent import Status


def test_a_penalty_meets_its_closed_form_and_nears_the_set_as_it_grows():
    for weight in (1.0, 10.0, 1e4):  # x² + α max(0, 1-x)² is least at α/(1+α)
        f = penalized(lambda x: x**2, inequalities=[lambda x: 1 - x], weight=weight)
        assert minimize(f, 3.0, "newton", steps=10).x == pytest.approx(weight / (1 + weight), rel=1e-6)
    f = penalized(lambda x: x @ x, equalities=[lambda x: x - 1.0], weight=3.0)  # a vector of constraints
    assert minimize(f, np.zeros(3), "newton", steps=3).x == pytest.approx(np.full(3, 0.75), abs=1e-8)


def test_a_constraint_that_holds_costs_nothing():
    f = penalized(lambda x: x**2, inequalities=[lambda x: x - 5], weight=1e6)
    assert f(4.0) == 16.0
    assert f(6.0) == 36.0 + 1e6


def test_constraints_may_come_from_an_iterator_and_as_lists():
    def lines():
        return (lambda x, i=i: 1 - x[i] for i in range(2))

    result = augmented_lagrangian(lambda x: x @ x, [3.0, 3.0], lines())
    assert result.success, result.message
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-5)
    f = penalized(lambda x: x @ x, lines(), weight=3.0)
    assert [f(np.zeros(2)), f(np.zeros(2))] == [6.0, 6.0]
    listed = penalized(lambda x: x @ x, [lambda x: [1 - x[0], 1 - x[1]]], [lambda x: 2.0], weight=3.0)
    assert listed(np.zeros(2)) == 18.0


class Visits:
    """A method that goes to given points, one a step."""

    def __init__(self, *points: float):
        self.points = list(points)

    def init(self, x: Any, lr: Any, hyper: Any) -> tuple[Any, Any]:
        return lr, None

    def step(self, objective: Any, x: Any, g: Any, state: Any, t: int, lr: Any) -> tuple[Any, Any]:
        return x - self.points.pop(0), state


def test_a_multiplier_without_its_constraint_is_no_solution():
    # from x = 0 to 1.5 the multiplier of 1-x ≤ 0 goes from 10 to 5: then ∇L = 5-5 and 1-x < 0, but α(1-x) is not 0
    given = {"method": Visits(0.0, 1.5), "line_search": None, "steps": 1, "rounds": 2}
    result = augmented_lagrangian(lambda x: 5 * x, 0.0, [lambda x: 1 - x], **given)
    assert (result.multipliers["inequalities"].tolist(), result.violation) == ([5.0], 0.0)
    assert result.kkt == pytest.approx(0.5)
    assert not result.success


def test_an_equality_that_holds_has_curvature_still():
    given = {"method": "newton", "line_search": None, "steps": 1, "rounds": 1}
    result = augmented_lagrangian(lambda x: x @ x, [2.0, 0.0], equalities=[lambda x: x[0] + x[1] - 2], **given)
    assert result.path[1] == pytest.approx([10 / 11, 10 / 11])  # the least x·x + 5(x₁+x₂-2)²


def rosen_suzuki(x: Any) -> Any:
    return x[0] ** 2 + x[1] ** 2 + 2 * x[2] ** 2 + x[3] ** 2 - 5 * x[0] - 5 * x[1] - 21 * x[2] + 7 * x[3]


KNOWN = [  # f, x0, inequalities, equalities, minimum, multipliers
    (lambda x: x**2, 3.0, [lambda x: 1 - x], [], 1.0, [2.0]),
    (lambda x: x**2, -3.0, [lambda x: x - 1], [], 0.0, [0.0]),  # not active
    (lambda x: -x, 0.0, [lambda x: x**2 - 1], [], 1.0, [0.5]),  # no curvature of its own
    (lambda x: x[0] + x[1], [3.0, 1.0], [], [lambda x: x @ x - 2], [-1.0, -1.0], [0.5]),
    (lambda x: x @ x, [0.0, 0.0, 0.0], [], [lambda x: x.sum() - 3], [1.0, 1.0, 1.0], [-2.0]),
    (lambda x: -x[0] * x[1], [1.0, 2.0], [], [lambda x: x[0] + 2 * x[1] - 4], [2.0, 1.0], [1.0]),  # not convex
    (
        rosen_suzuki,
        np.zeros(4),
        [
            lambda x: x @ x + x[0] - x[1] + x[2] - x[3] - 8,
            lambda x: x[0] ** 2 + 2 * x[1] ** 2 + x[2] ** 2 + 2 * x[3] ** 2 - x[0] - x[3] - 10,
            lambda x: 2 * x[0] ** 2 + x[1] ** 2 + x[2] ** 2 + 2 * x[0] - x[1] - x[3] - 5,
        ],
        [],
        [0.0, 1.0, 2.0, -1.0],
        [1.0, 0.0, 2.0],
    ),
]


@pytest.mark.parametrize(("fun", "x0", "inequalities", "equalities", "minimum", "multipliers"), KNOWN)
def test_minima_and_multipliers_known_by_hand(fun, x0, inequalities, equalities, minimum, multipliers):
    result = augmented_lagrangian(fun, x0, inequalities, equalities)
    assert result.success, result.message
    assert result.x == pytest.approx(np.array(minimum), abs=2e-6)
    found = np.concatenate([result.multipliers["inequalities"], result.multipliers["equalities"]])
    assert found == pytest.approx(np.array(multipliers), abs=1e-5)
    assert result.kkt <= 1e-6
    assert result.violation <= 1e-6
    assert result.path.shape == (result.nit + 1, *np.shape(x0))


def test_it_agrees_with_slsqp_on_random_convex_problems():
    rng = np.random.default_rng(0)
    for _ in range(5):
        half, c, A, b = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(2, 3)), rng.normal(size=2)
        Q = half @ half.T + np.eye(3)

        def f(x, Q=Q, c=c):
            return x @ Q @ x / 2 + c @ x

        lines = [lambda x, a=a, b=b: a @ x - b for a, b in zip(A, b, strict=True)]
        plane = [lambda x: x.sum() - 1.0]
        given = [{"type": "ineq", "fun": lambda x, line=line: -line(x)} for line in lines]
        given.append({"type": "eq", "fun": plane[0]})
        expected = scipy_minimize(f, np.zeros(3), constraints=given, method="SLSQP", options={"ftol": 1e-14})
        result = augmented_lagrangian(f, np.zeros(3), lines, plane, tol=1e-7, jac=lambda x, Q=Q, c=c: Q @ x + c)
        assert result.success, result.message
        assert result.x == pytest.approx(expected.x, abs=1e-5)


def test_the_solution_is_a_saddle_point_of_the_lagrangian():
    def disc(x):
        return (x[0] - 1) ** 2 + x[1] ** 2 - 1

    result = augmented_lagrangian(surfaces.bowl, [1.0, -2.0], [disc, lambda x: 0.5 - x[0]])
    assert result.success, result.message
    best = result.multipliers["inequalities"]

    def lagrangian(x, alpha):
        return surfaces.bowl(x) + alpha @ [disc(x), 0.5 - x[0]]

    value, rng = lagrangian(result.x, best), np.random.default_rng(0)
    assert value == pytest.approx(result.fun, abs=1e-5)
    for x, alpha in zip(rng.normal(size=(200, 2)), rng.exponential(size=(200, 2)), strict=True):
        assert lagrangian(result.x, alpha) <= value + 1e-5
        assert value <= lagrangian(x, best) + 1e-5


@pytest.mark.parametrize("method", ["newton_abs", "gradient_descent"])
def test_other_methods_inside(method: str):
    options = {"method": method, "steps": 2000}
    result = augmented_lagrangian(surfaces.bowl, [-5.0, -2.0], [lambda x: 1 - x[0] - x[1]], **options)
    assert result.success, result.message
    assert result.x == pytest.approx([2 / 3, 1 / 3], abs=1e-5)
    assert result.multipliers["inequalities"] == pytest.approx([4 / 3], abs=1e-4)


def test_an_empty_set_is_a_result():
    result = augmented_lagrangian(lambda x: x**2, 0.5, [lambda x: x**2 + 1], rounds=8)
    assert (result.success, result.status, result.nit) == (False, Status.STEPS, 8)
    assert result.violation == pytest.approx(1.0)
    assert "the constraints within 1;" in result.message


def test_a_function_without_a_minimum_is_a_result():
    result = augmented_lagrangian(lambda x: -(x**2), 0.5, [lambda x: -x])
    assert (result.success, result.status) == (False, Status.DIVERGED)
    assert "the Lagrangian diverged" in result.message


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (TypeError, "inequalities must be a list of functions", {"inequalities": lambda x: x}),
        (TypeError, "equalities must be a list of functions", {"equalities": [3]}),
        (TypeError, "equalities must be a list of functions of x; got None", {"equalities": None}),
        (TypeError, r"inequalities\[1\] must return one real number", {"inequalities": [float, lambda x: [x, x]]}),
        (ValueError, r"equalities\[0\] must be finite at x0; got nan", {"equalities": [lambda x: math.nan]}),
        (ValueError, "rounds must be an integer ≥ 1", {"rounds": 0}),
        (ValueError, "growth must be a finite number > 1", {"growth": 1.0}),
        (ValueError, "penalty must be a finite number > 0", {"penalty": 0.0}),
        (ValueError, "tol must be a finite number > 0", {"tol": 0.0}),
        (ValueError, "method must be one of", {"method": "newtn"}),
        (ValueError, "x0 must be one point, of 2 numbers", {"fun": surfaces.bowl, "x0": np.zeros((3, 2))}),
        (TypeError, "fun must be a function", {"fun": 3}),
    ],
)
def test_refused(error: type[Exception], words: str, arguments: dict[str, Any]):
    with pytest.raises(error, match=words):
        augmented_lagrangian(**{"fun": lambda x: x**2, "x0": 1.0} | arguments)


def test_a_penalty_refuses_what_is_none():
    with pytest.raises(TypeError, match=r"inequalities\[1\] must return real numbers; got None"):
        penalized(abs, [lambda x: x, lambda x: None])(1.0)
    wrong: Any = None
    with pytest.raises(TypeError, match="inequalities must be a list of functions of x; got None"):
        penalized(abs, wrong)
    with pytest.raises(TypeError, match="fun must be a function of x; got None"):
        penalized(wrong)
    with pytest.raises(ValueError, match="weight must be a finite number ≥ 0; got -1"):
        penalized(abs, weight=-1)
