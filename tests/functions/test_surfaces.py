"""Every surface against finite differences, its minima against a dense grid, and the numbers of the book."""

import math
import subprocess
import sys
import warnings
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from stepwell.functions import surfaces
from stepwell.functions.surfaces import Surface

EVERY = [*surfaces.named.values(), surfaces.quadratic([[2.0, 1.0], [0.0, 3.0]], [1.0, -1.0]), surfaces.powers_of_two(4)]
every_surface = pytest.mark.parametrize("surface", EVERY, ids=lambda s: s.name)


def sample(surface: Surface, count: int) -> np.ndarray:
    low, high = np.array(surface.domain).T
    return np.random.default_rng(0).uniform(low, high, (count, surface.dimension))


def differences(f, x: np.ndarray, h: float) -> np.ndarray:
    """Central differences of f along each coordinate, stacked on a new last axis."""
    steps = h * np.eye(x.shape[-1])
    return np.stack([(f(x + d) - f(x - d)) / (2 * h) for d in steps], axis=-1)


@every_surface
def test_gradient_and_hessian_are_the_derivatives(surface: Surface) -> None:
    x = sample(surface, 50)
    value, gradient, hessian = surface(x), surface.gradient(x), surface.hessian(x)
    assert (value.shape, gradient.shape, hessian.shape) == ((50,), x.shape, (*x.shape, surface.dimension))
    h, rounding = 1e-5, 1e-10
    assert differences(surface, x, h) == pytest.approx(gradient, rel=1e-6, abs=rounding * (1 + np.abs(value).max()))
    scale = 1 + np.abs(gradient).max()
    assert differences(surface.gradient, x, h) == pytest.approx(hessian, rel=1e-6, abs=rounding * scale)
    assert np.allclose(hessian, np.swapaxes(hessian, -1, -2))


@every_surface
def test_minima_are_stationary_convex_and_the_lowest_of_the_domain(surface: Surface) -> None:
    low, high = np.array(surface.domain).T
    assert ((low <= surface.start) & (surface.start <= high)).all()
    if surface.minimum is None:
        assert not surface.minima
        return
    minima = np.array(surface.minima)
    assert ((low <= minima) & (minima <= high)).all()
    assert surface(minima) == pytest.approx(surface.minimum, abs=1e-13)
    assert np.abs(surface.gradient(minima)).max() < 1e-12
    assert np.linalg.eigvalsh(surface.hessian(minima)).min() >= 0
    axes = [np.linspace(a, b, 4001 if surface.dimension == 1 else 401) for a, b in surface.domain[:2]]
    if surface.dimension <= 2:
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        assert surface(grid).min() >= surface.minimum - 1e-12


def test_the_minima_are_all_of_them() -> None:
    """Descents from a lattice of starts end at the listed minima or higher."""
    for surface, lowest in ((surfaces.himmelblau, 0.0), (surfaces.cosine, -1.0)):
        low, high = np.array(surface.domain).T
        x = np.stack(np.meshgrid(*np.linspace(low, high, 24).T[..., :], indexing="ij"), -1).reshape(-1, len(low))
        for _ in range(4000):
            x = np.clip(x - 0.004 * surface.gradient(x), low, high)
        best = x[(surface(x) < lowest + 1e-9) & (np.abs(surface.gradient(x)).max(-1) < 1e-6)]
        assert {tuple(p) for p in best.round(4) + 0.0} == {tuple(p) for p in np.round(surface.minima, 4) + 0.0}


def test_the_books_minima() -> None:
    assert surfaces.risk.minima[0] == pytest.approx([1.0904], abs=5e-5)
    assert surfaces.risk.minimum == pytest.approx(-1.0467, abs=5e-5)
    assert surfaces.empirical_risk.minima[0] == pytest.approx([1.0170], abs=5e-5)
    assert surfaces.empirical_risk.minimum == pytest.approx(-1.2085, abs=5e-5)
    local: Any = minimize_scalar(surfaces.local_minimum, bounds=(-0.5, 0.0), method="bounded")
    assert (local.x, local.fun) == pytest.approx((-0.2739, -0.1786), abs=5e-5)
    poor: Any = minimize_scalar(surfaces.wave, bounds=(-3.0, 0.0), method="bounded")
    assert poor.x == pytest.approx(-1.8256, abs=1e-4)
    assert surfaces.log_sum_exp.minima[0] == pytest.approx([-0.768951], abs=5e-7)
    assert surfaces.log_sum_exp.minimum == pytest.approx(-0.363486, abs=5e-7)
    assert surfaces.tanh.gradient(4.0) == pytest.approx(0.00134095, abs=5e-9)


def test_the_books_descents() -> None:
    """The pairs and numbers that the chapter's gradient descents end at."""
    for lr, end in ((0.2, 0.060466), (0.05, 3.486784), (1.1, 61.917364)):
        x = 10.0
        for _ in range(10):
            x -= lr * surfaces.square.gradient(x)
        assert x == pytest.approx(end, abs=5e-7)
    for surface, lr, end in ((surfaces.bowl, 0.1, (-0.057646, -0.000073)), (surfaces.ravine, 0.4, (-0.943467, -73e-6))):
        x = np.array([-5.0, -2.0])
        for _ in range(20):
            x = x - lr * surface.gradient(x)
        assert x == pytest.approx(end, abs=5e-7)


@given(st.floats(-7, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_a_rotation_keeps_gradient_norms_and_eigenvalues(angle: float, seed: int) -> None:
    turned, flat = surfaces.rotated(surfaces.ravine, angle), surfaces.ravine
    x = np.random.default_rng(seed).uniform(-5, 5, 2)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    y = rotation @ x
    assert turned(y) == pytest.approx(flat(x))
    assert turned.gradient(y) == pytest.approx(rotation @ flat.gradient(x), abs=1e-9)
    assert np.linalg.eigvalsh(turned.hessian(y)) == pytest.approx([0.2, 4.0])


def test_the_books_rotation_also_doubles_the_eigenvalues() -> None:
    origin = np.zeros(2)
    doubled = surfaces.ravine_rotated_doubled.hessian(origin)
    assert np.linalg.eigvalsh(doubled) == pytest.approx([0.4, 8.0])
    assert np.linalg.eigvalsh(surfaces.ravine_rotated.hessian(origin)) == pytest.approx([0.2, 4.0])
    assert doubled / 2 == pytest.approx(surfaces.rotated(surfaces.ravine, -3 * math.pi / 4).hessian(origin))


def test_a_quadratic_is_its_matrices() -> None:
    q, c = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]]), np.array([1.0, 0.0, -2.0])
    f = surfaces.quadratic(q, c, 4.0)
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert f(x) == pytest.approx(np.einsum("pi,ij,pj->p", x, q, x) / 2 + x @ c + 4)
    assert f.gradient(x) == pytest.approx(x @ (q + q.T) / 2 + c)
    assert f.hessian(x) == pytest.approx(np.broadcast_to((q + q.T) / 2, (5, 3, 3)))
    assert surfaces.quadratic(np.diag([1.0, -1.0])).minima == ()
    assert surfaces.quadratic([[0.0]], 0.0, 2.0)([[1.0], [2.0]]).tolist() == [2.0, 2.0]
    assert surfaces.powers_of_two(10)(np.ones(10)) == pytest.approx((1 - 0.5**10) / 2)


def test_shapes_broadcast_and_constants_fill_them() -> None:
    for surface in EVERY:
        n = surface.dimension
        for shape in ((), (1,), (0,), (2, 3), (2, 1, 4)):
            x = np.full((*shape, n), 0.3)
            assert np.shape(surface(x)) == shape
            assert surface.gradient(x).shape == (*shape, n)
            assert surface.hessian(x).shape == (*shape, n, n)
    lattice = np.stack(np.meshgrid([0, 1], [0, 1, 2], indexing="ij"), -1)  # of integers
    assert surfaces.saddle(lattice).tolist() == [[0, -1, -4], [1, 0, -3]]
    assert surfaces.saddle.hessian(lattice)[1, 2].tolist() == [[2, 0], [0, -2]]


def test_one_variable_takes_a_plain_number_and_gives_floats() -> None:
    for x in (2, 2.0, np.float32(2), np.array(2.0)):
        answers = surfaces.cubic(x), surfaces.cubic.gradient(x), surfaces.cubic.hessian(x)
        assert answers == (8.0, 12.0, 12.0)
        assert {type(a) for a in answers} == {float}
    assert surfaces.cubic.gradient([2.0]).tolist() == [12.0]
    assert type(surfaces.bowl([1.0, 1.0])) is float


@pytest.mark.parametrize("x", [1.0, [], [1.0], [1.0, 2.0, 3.0], [[1.0], [2.0]]], ids=repr)
def test_a_wrong_last_axis_is_named(x: object) -> None:
    for ask in (surfaces.bowl, surfaces.bowl.gradient, surfaces.bowl.hessian):
        with pytest.raises(ValueError, match=r"x must be an array of shape \(\.\.\., 2\) for bowl; got shape"):
            ask(x)
    with pytest.raises(ValueError, match="or a number for cubic; got shape"):
        surfaces.cubic([1.0, 2.0])


@pytest.mark.parametrize("x", ["1", None, [True, False], [1j, 0.0], [None, 1.0]], ids=repr)
def test_what_is_not_real_numbers_is_refused(x: object) -> None:
    with pytest.raises(TypeError, match="x must be real numbers; got"):
        surfaces.bowl(x)


def test_overflow_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert surfaces.cosh(1e6) == math.inf
        assert surfaces.rosenbrock([1e200, 0.0]) == math.inf
        assert math.isnan(surfaces.bowl([math.nan, 0.0]))


def test_broken_definitions_are_refused() -> None:
    with pytest.raises(ValueError, match="low < high"):
        Surface("bad", "", lambda x: x, domain=((1.0, 1.0),))
    with pytest.raises(ValueError, match="points of 2 numbers"):
        Surface("bad", "", lambda x, y: x * y, domain=((0.0, 1.0),) * 2, minima=((0.0,),))
    with pytest.raises(ValueError, match="two variables"):
        surfaces.rotated(surfaces.cubic)
    with pytest.raises(ValueError, match="angle must be a finite number; got nan"):
        surfaces.rotated(surfaces.bowl, math.nan)
    for q in ([1.0], np.ones((2, 3)), np.ones((0, 0)), [[math.inf]]):
        with pytest.raises(ValueError, match="Q must be a square matrix"):
            surfaces.quadratic(q)
    with pytest.raises(ValueError, match="c must be"):
        surfaces.quadratic(np.eye(2), [1.0, 2.0, 3.0])
    bad: Any
    for bad in (0, -1, 1.5, True):
        with pytest.raises((ValueError, TypeError), match="n must be an integer ≥ 1"):
            surfaces.powers_of_two(bad)
    bad = [[1j]]
    with pytest.raises(TypeError, match="Q must be a square matrix of finite numbers; got"):
        surfaces.quadratic(bad)


def test_the_catalogue_is_derived_frozen_and_printable() -> None:
    assert all(surface.name == name for name, surface in surfaces.named.items())
    assert {"risk", "saddle", "wave", "ravine", "rosenbrock", "himmelblau"} <= surfaces.named.keys()
    with pytest.raises(FrozenInstanceError):
        surfaces.bowl.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert surfaces.wave.latex() == r"x \cos{\left(0.15 \pi x \right)}"
    assert surfaces.bowl.latex() == r"x_{1}^{2} + 2 x_{2}^{2}"
    assert "0.707107" in surfaces.ravine_rotated.latex()


def test_sympy_waits_until_a_formula_is_read() -> None:
    code = "import sys; from stepwell.functions import surfaces; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
