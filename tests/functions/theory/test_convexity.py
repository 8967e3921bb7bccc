"""Convex and not, of functions and sets, with counter-examples that prove it."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.functions import surfaces
from stepwell.functions.theory import critical_point, is_convex, is_convex_set, jensen_gap

CONVEX = {"half_square", "exponential", "square", "cosh", "bowl", "ravine", "log_sum_exp", "ravine_rotated"}
CONVEX |= {"ravine_rotated_doubled"}


@pytest.mark.parametrize("name", surfaces.named)
def test_the_convex_surfaces_are_known(name: str) -> None:
    found = is_convex(surfaces.named[name])
    assert bool(found) == (name in CONVEX)
    example: Any = found.counter_example
    assert found or example.left > example.right


def test_a_surface_may_be_convex_in_a_part_of_its_domain() -> None:
    assert is_convex(surfaces.risk, [(1.0, 1.2)])
    assert not is_convex(surfaces.risk)


PLAIN: list[tuple[Callable[[Any], Any], Any, bool]] = [
    (lambda x: x**4, (-1.0, 1.0), True),
    (lambda x: -np.sqrt(x), (0.0, 1.0), True),
    (np.sqrt, (0.0, 1.0), False),
    (lambda x: 3 * x - 2, (-1e6, 1e6), True),
    (lambda x: x @ x, [(-1.0, 1.0)] * 4, True),
    (lambda x: x[0] * x[1], [(0.0, 1.0)] * 2, False),
    (lambda x: np.max(x), [(-1.0, 1.0)] * 3, True),
    (lambda x: np.min(x), [(-1.0, 1.0)] * 3, False),
    (lambda x: 1e-30 * np.cos(x), (-3.0, 3.0), False),
    (lambda x: 1e30 * x * x, (-3.0, 3.0), True),
]


@pytest.mark.parametrize("case", range(len(PLAIN)))
@pytest.mark.parametrize("seed", [0, 1])
def test_plain_functions(case: int, seed: int) -> None:
    fun, box, convex = PLAIN[case]
    chords = is_convex(fun, box, points=0, seed=seed)
    assert bool(chords) == convex
    assert bool(is_convex(fun, box, points=50, chords=100, seed=seed)) == convex


@pytest.mark.parametrize(
    ("fun", "box"),
    [
        (lambda x: abs(x[0] + 2 * x[1]), [(-1e-3, 1e-3)] * 2),
        (lambda x: np.linalg.norm(x), [(-1e-3, 1e-3)] * 2),
        (lambda x: max(x[0], x[1], -x[0] - x[1]), [(-1e-2, 1e-2)] * 2),
        (abs, (-1e-4, 1e-4)),
    ],
)
def test_a_kink_is_not_taken_for_negative_curvature(fun: Any, box: Any) -> None:
    for seed in range(10):
        assert is_convex(fun, box, seed=seed)
        assert not is_convex(lambda x: -fun(x), box, points=200, chords=0, seed=seed)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_negative_curvature_by_differences_is_found_without_random_chords(size: float) -> None:
    for fun, box in (
        (np.cos, (-3.0, 3.0)),
        (lambda x: x[0] * x[1], [(0.0, 1.0)] * 2),
        (lambda x: x[0] ** 2 - 1e-2 * np.exp(-(((x[1] - 0.5) / 0.05) ** 2)), [(-1.0, 1.0)] * 2),
    ):
        found = is_convex(lambda x, fun=fun: size * fun(x), box, points=300, chords=0)
        example: Any = found.counter_example
        (x, y), w = example.points, example.weight
        assert size * fun(w * x + (1 - w) * y) == pytest.approx(example.left)
        assert w * size * fun(x) + (1 - w) * size * fun(y) == pytest.approx(example.right)
        assert example.left > example.right
        assert "along it" in found.evidence


def test_functions_may_write_into_their_argument() -> None:
    def spoil(x: np.ndarray) -> float:
        value = float(x @ x)
        x *= 0
        return value

    points = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert jensen_gap(spoil, points) == jensen_gap(lambda x: x @ x, points) > 0
    assert (points == [[1.0, 2.0], [3.0, 5.0]]).all()
    box = [(-2.0, 2.0)] * 2
    assert is_convex(spoil, box, points=5, chords=20)
    ring = [is_convex_set(lambda x, f=f: 1 <= f(x) <= 4, box) for f in (spoil, lambda x: x @ x)]
    assert str(ring[0].counter_example) == str(ring[1].counter_example)
    assert ring[0].evidence == ring[1].evidence
    assert not ring[0]


def test_a_broken_chord_can_be_checked_by_hand() -> None:
    found = is_convex(np.cos, (-3.0, 3.0), points=0)
    example: Any = found.counter_example
    (x, y), w = example.points, example.weight
    assert np.cos(w * x + (1 - w) * y) == example.left
    assert w * np.cos(x) + (1 - w) * np.cos(y) == pytest.approx(example.right)
    assert example.left > example.right
    assert "chord" in found.evidence


def test_a_negative_curvature_can_be_checked_by_hand() -> None:
    found = is_convex(np.cos, (-3.0, 3.0), hess=lambda x: -np.cos(x))
    example: Any = found.counter_example
    assert -np.cos(example.points[0]) == example.right < 0
    assert is_convex(np.cos, (-3.0, 3.0), hess=np.cosh, chords=0)  # a Hessian that lies is believed without chords
    assert not is_convex(np.cos, (-3.0, 3.0), hess=np.cosh)


def test_a_small_bump_is_found_by_short_chords() -> None:
    def bumpy(x: float) -> float:
        return x * x + 1e-4 * np.exp(-(((x - 0.5) / 0.004) ** 2))

    assert not is_convex(bumpy, (-1.0, 1.0), points=0)


def test_differences_stay_inside_the_box() -> None:
    assert is_convex(lambda x: -math.sqrt(x), (0.0, 2e-3))  # which has no value below 0


def in_ball(centre: float, radius: float) -> Callable[[Any], bool]:
    return lambda x: bool(np.sum((x - centre) ** 2) <= radius**2)


def test_sets() -> None:
    box = [(-2.0, 2.0)] * 2
    one, other = in_ball(0.0, 1.0), in_ball(1.0, 1.0)
    assert is_convex_set(one, box)
    assert is_convex_set(lambda x: one(x) and other(x), box)
    union = is_convex_set(lambda x: one(x) or other(x), box)
    assert not union
    example: Any = union.counter_example
    (x, y), w = example.points, example.weight
    middle = w * x + (1 - w) * y
    assert one(x) or other(x)
    assert one(y) or other(y)
    assert not one(middle)
    assert not other(middle)
    assert is_convex_set(lambda x: x > 0.5, (-1.0, 1.0))
    assert not is_convex_set(lambda x: abs(x) > 0.5, (-1.0, 1.0))


@given(st.integers(0, 2**32 - 1))
def test_jensens_gap_has_the_sign_of_the_curvature(seed: int) -> None:
    random = np.random.default_rng(seed)
    points, weights = random.normal(size=(6, 2)), random.uniform(size=6)
    assert jensen_gap(surfaces.ravine, points, weights) >= -1e-12
    assert jensen_gap(lambda x: -surfaces.ravine(x), points, weights) <= 1e-12
    assert jensen_gap(lambda x: x @ [1.0, 2.0] - 3, points, weights) == pytest.approx(0, abs=1e-12)
    numbers = points[:, 0]
    assert jensen_gap(lambda x: x * x, numbers) == pytest.approx(numbers.var())
    mean = np.average(numbers, weights=weights)
    assert jensen_gap(surfaces.square, numbers, 5 * weights) == pytest.approx(
        np.average((numbers - mean) ** 2, weights=weights)
    )


@pytest.mark.parametrize(
    ("fun", "x", "kind"),
    [
        (surfaces.saddle, [0.0, 0.0], "saddle"),
        (surfaces.bowl, [0.0, 0.0], "minimum"),
        (surfaces.local_minimum, -0.2738526868008509, "minimum"),
        (surfaces.cosine, 0.0, "maximum"),
        (surfaces.cubic, 0.0, "degenerate"),
        (surfaces.quadratic(np.diag([1.0, 0.0])), [0.0, 0.0], "degenerate"),
        (surfaces.quadratic(np.diag([1.0, 0.0, -1.0])), [0.0, 0.0, 0.0], "saddle"),
        (surfaces.rastrigin, [0.0, 0.0], "minimum"),
        (lambda x: x[0] * x[1], [0.0, 0.0], "saddle"),
        (lambda x: -(x**2), 0.0, "maximum"),
        (lambda x: x**4, 0.0, "degenerate"),
    ],
)
def test_critical_points(fun: Any, x: Any, kind: str) -> None:
    assert critical_point(fun, x) == kind
    assert critical_point(lambda y: 3 * fun(y), x) == kind  # by differences


def test_what_is_not_critical_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x must be a stationary point; got 1\.0, where the largest derivative is 3"):
        critical_point(surfaces.cubic, 1.0)
    assert critical_point(abs, 0.0, jac=lambda x: 0.0, hess=lambda x: 1.0) == "minimum"
    for size in (1e-30, 1e-7, 1.0, 1e7):  # what is stationary has nothing to do with the unit of f
        for derivatives in ({}, {"jac": lambda x, s=size: 2 * s * (x - 1), "hess": lambda x, s=size: 2 * s}):
            assert critical_point(lambda x, s=size: s * (x - 1) ** 2, 1.0, **derivatives) == "minimum"
            with pytest.raises(ValueError, match="x must be a stationary point"):
                critical_point(lambda x, s=size: s * (x - 1) ** 2, 0.0, **derivatives)


def test_errors() -> None:
    for box in (None, (1.0, 1.0), (1.0, 0.0), [(0.0, np.inf)], [1.0, 2.0, 3.0], []):
        with pytest.raises(ValueError, match="box must be finite pairs"):
            is_convex(lambda x: x, box)
    with pytest.raises(ValueError, match="box must have 2 sides for bowl"):
        is_convex(surfaces.bowl, (0.0, 1.0))
    with pytest.raises(ValueError, match="fun must be finite on the box; got"), np.errstate(all="ignore"):
        is_convex(np.log, (-1.0, 1.0), points=0)
    with pytest.raises(ValueError, match="chords must be an integer ≥ 0; got -1"):
        is_convex(abs, (-1.0, 1.0), chords=-1)
    with pytest.raises(ValueError, match="must be above 0"):
        is_convex(abs, (-1.0, 1.0), points=0, chords=0)
    with pytest.raises(ValueError, match="box must hold members"):
        is_convex_set(lambda x: False, (0.0, 1.0))
    with pytest.raises(ValueError, match="weights must be 2"):
        jensen_gap(abs, [1.0, 2.0], [1.0])
    for weights in ([-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="weights must be 2"):
            jensen_gap(abs, [1.0, 2.0], weights)
    with pytest.raises(ValueError, match="points must have shape"):
        jensen_gap(abs, [])
    bad: Any
    for bad in (["a"], [1j], [[1.0], [1.0, 2.0]]):
        with pytest.raises(TypeError, match="points must have shape"):
            jensen_gap(abs, bad)
        with pytest.raises(TypeError, match="weights must be 1 finite"):
            jensen_gap(abs, [1.0], bad)
        with pytest.raises(TypeError, match="box must be finite pairs"):
            is_convex(abs, bad)
        with pytest.raises(TypeError, match="x must be real numbers"):
            critical_point(abs, bad)
    for call in (is_convex, lambda f, box: jensen_gap(f, [[1.0, 2.0]])):
        with pytest.raises(TypeError, match=r"fun must return one real number; got array\("):
            call(lambda x: x, [(-1.0, 1.0)] * 2)
    with pytest.raises(TypeError, match=r"chords must be an integer ≥ 0; got 2\.5"):
        is_convex(abs, (-1.0, 1.0), chords=cast(Any, 2.5))
