"""Projections against what defines them: the closest point, by its variational inequality and by other solvers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize

from stepwell.functions import sets

N = 4
A = np.array([[1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 3.0, -2.0]])
SETS = {
    "ball": sets.Ball(1.5),
    "moved ball": sets.Ball(0.5, [1.0, -1.0, 0.0, 2.0]),
    "point": sets.Ball(0.0, 3.0),
    "l1": sets.L1Ball(1.5),
    "origin": sets.L1Ball(0.0),
    "box": sets.Box([-1.0, 0.0, -np.inf, 2.0], [1.0, 0.0, 3.0, np.inf]),
    "cube": sets.Box(-1.0, 1.0),
    "simplex": sets.Simplex(),
    "large simplex": sets.Simplex(7.0),
    "half-space": sets.HalfSpace([1.0, -2.0, 0.0, 0.5], -1.0),
    "affine": sets.Affine(A, [1.0, -2.0]),
    "repeated rows": sets.Affine(np.vstack([A, A[0] * 2]), [1.0, -2.0, 2.0]),
}
coordinates = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, -1.0])
vectors = st.lists(coordinates, min_size=N, max_size=N).map(np.array)
every_set = pytest.mark.parametrize("name", SETS)


def holds(name: str, x: np.ndarray, tolerance: float) -> bool:
    """Membership by the set's own inequalities, without its projection."""
    return {
        "ball": lambda: np.linalg.norm(x) <= 1.5 + tolerance,
        "moved ball": lambda: np.linalg.norm(x - [1.0, -1.0, 0.0, 2.0]) <= 0.5 + tolerance,
        "point": lambda: np.max(abs(x - 3)) <= tolerance,
        "l1": lambda: np.sum(abs(x)) <= 1.5 + tolerance,
        "origin": lambda: np.max(abs(x)) <= tolerance,
        "box": lambda: abs(x[0]) <= 1 + tolerance and abs(x[1]) <= tolerance and x[2] <= 3 and x[3] >= 2,
        "cube": lambda: np.max(abs(x)) <= 1 + tolerance,
        "simplex": lambda: x.min() >= 0 and abs(x.sum() - 1) <= tolerance,
        "large simplex": lambda: x.min() >= 0 and abs(x.sum() - 7) <= tolerance,
        "half-space": lambda: x @ [1.0, -2.0, 0.0, 0.5] <= -1.0 + tolerance,
        "affine": lambda: np.max(abs(A @ x - [1.0, -2.0])) <= tolerance,
        "repeated rows": lambda: np.max(abs(A @ x - [1.0, -2.0])) <= tolerance,
    }[name]()


@every_set
@given(x=vectors, y=vectors)
def test_the_projection_is_the_closest_point_and_no_two_points_part(name: str, x: np.ndarray, y: np.ndarray):
    convex = SETS[name]
    p, q = convex.project(x), convex.project(y)
    size = max(1.0, float(np.max(abs(x))), float(np.max(abs(y))))
    assert holds(name, p, 1e-11 * size)
    assert convex.contains(p)
    assert np.max(abs(convex.project(p) - p)) <= 1e-12 * size  # idempotent
    assert np.linalg.norm(p - q) <= np.linalg.norm(x - y) * (1 + 1e-12) + 1e-12 * size  # non-expansive
    assert (x - p) @ (q - p) <= 1e-10 * size**2  # q is any member: none lies on x's side of p
    assert convex.contains(x) == (np.max(abs(p - x)) <= 1e-9 * max(1.0, np.max(abs(x))))


@every_set
def test_contains_is_membership(name: str):
    rng = np.random.default_rng(0)
    for x in rng.normal(scale=1.5, size=(300, N)):
        assert SETS[name].contains(x) == holds(name, x, 1e-9)


@pytest.mark.parametrize(("name", "total"), [("l1", 1.5), ("simplex", 1.0), ("large simplex", 7.0)])
def test_l1_and_simplex_agree_with_a_solver_of_quadratic_programs(name: str, total: float):
    def closest(x: np.ndarray, count: int) -> np.ndarray:  # over y ≥ 0 with a given or bounded sum
        def distance(y: np.ndarray) -> float:
            return float(np.sum((x - y) ** 2))

        constraint = {"type": "eq", "fun": lambda y: y.sum() - total}
        start, bounds = np.full(count, total / count), [(0, None)] * count
        options = {"ftol": 1e-15, "maxiter": 500}
        return scipy_minimize(distance, start, bounds=bounds, constraints=constraint, method="SLSQP", options=options).x

    for x in np.random.default_rng(1).normal(scale=2.0, size=(10, N)):
        inside = name == "l1" and abs(x).sum() <= total
        expected = x if inside else np.sign(x) * closest(abs(x), N) if name == "l1" else closest(x, N)
        assert SETS[name].project(x) == pytest.approx(expected, abs=1e-6)


def test_any_shape_is_one_vector_and_a_number_stays_a_number():
    x = np.arange(4.0).reshape(2, 2)
    for convex in SETS.values():
        assert (convex.project(x) == convex.project(x.ravel()).reshape(2, 2)).all()
    assert sets.Box(0, 1).project(3) == 1.0
    assert np.ndim(sets.Ball(2.0).project(-3)) == 0
    assert sets.Ball(1.0).project(np.array([0.1], np.float32)).dtype == np.float64


def test_a_projection_is_an_array_of_its_own():
    for convex in (sets.Ball(10.0), sets.L1Ball(10.0), sets.Box(-9, 9)):
        x = np.ones(2)
        assert not np.shares_memory(convex.project(x), x)


def test_large_numbers_neither_overflow_nor_lose_the_set():
    assert sets.Ball(1.0).project([3e200, 4e200]) == pytest.approx([0.6, 0.8])
    assert sets.Simplex().project([1e16, 1e16, 0.0]) == pytest.approx([0.5, 0.5, 0.0])
    assert sets.L1Ball(1.0).project([-1e16, 0.0]) == pytest.approx([-1.0, 0.0])


def test_clipping_is_the_projection_on_the_ball():
    g = np.array([[3.0, 4.0], [0.0, 12.0]])
    assert sets.clip(g, 1.0) == pytest.approx(g / 13)
    assert (sets.clip(g, 13.0) == g).all()
    assert np.linalg.norm(sets.clip(g, 2.5)) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (ValueError, "radius must be a finite number ≥ 0; got -1", lambda: sets.Ball(-1)),
        (ValueError, "radius must be a finite number ≥ 0; got nan", lambda: sets.L1Ball(np.nan)),
        (TypeError, "centre must be real numbers", lambda: sets.Ball(1, "middle")),
        (ValueError, "high must be ≥ low", lambda: sets.Box(1, 0)),
        (ValueError, "high must be ≥ low", lambda: sets.Box(np.nan, 0)),
        (ValueError, "high must be ≥ low", lambda: sets.Box(np.inf, np.inf)),
        (ValueError, "high must have the shape of low", lambda: sets.Box([0, 0], [1, 1, 1])),
        (ValueError, "total must be", lambda: sets.Simplex(-1)),
        (ValueError, "normal must not be zero", lambda: sets.HalfSpace([0.0, 0.0], 1)),
        (ValueError, "offset must be a finite number", lambda: sets.HalfSpace([1.0], np.inf)),
        (ValueError, "Ax = b must have a solution", lambda: sets.Affine([[1, 1], [2, 2]], [1, 3])),
        (ValueError, "Ax = b must have a solution", lambda: sets.Affine([[0, 0]], [1])),
        (ValueError, "b must have one number for each row", lambda: sets.Affine([[1, 1]], [1, 3])),
        (ValueError, "A must be finite", lambda: sets.Affine([[np.nan, 1]], [1])),
        (ValueError, "x must be finite", lambda: sets.Ball(1).project([np.nan])),
        (TypeError, "x must be real numbers", lambda: sets.Ball(1).project([1j])),
        (ValueError, "x must be real numbers", lambda: sets.Ball(1).project([])),
        (ValueError, "x must have 2 numbers, as centre has; got 3", lambda: sets.Ball(1, [0, 0]).project([1, 2, 3])),
        (ValueError, "x must have 2 numbers, as low has", lambda: sets.Box([0, 0], 1).project([1, 2, 3])),
        (ValueError, "x must have 1 numbers, as normal has", lambda: sets.HalfSpace([1.0]).project([1, 2])),
        (ValueError, "x must have 4 numbers, a column of A each", lambda: SETS["affine"].project([1, 2])),
        (ValueError, "tolerance must be", lambda: sets.Ball(1).contains([0.0], -1)),
        (ValueError, "threshold must be a finite number > 0; got 0", lambda: sets.clip([1.0], 0)),
        (ValueError, "g must be finite", lambda: sets.clip([np.inf], 1)),
    ],
)
def test_refused(error: type[Exception], words: str, make: Any):
    with pytest.raises(error, match=words):
        make()
