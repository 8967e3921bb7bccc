"""A grid of losses as a smooth surface."""

from typing import Any

import numpy as np
import pytest

from stepwell.functions import minimize, surfaces
from stepwell.lab.landscapes.grid import Landscape

A, B = np.linspace(-2.0, 3.0, 21), np.linspace(-1.0, 4.0, 26)


def of(losses: np.ndarray, **more: Any) -> Landscape:
    return Landscape(about="a test", a=A, b=B, losses=losses, **more)


def sampled(surface: surfaces.Surface) -> Landscape:
    return of(surface(np.stack(np.meshgrid(A, B, indexing="ij"), -1)))


def test_it_goes_through_every_point_and_is_near_the_surface_between() -> None:
    plane = sampled(surfaces.styblinski_tang)
    for i, j in ((0, 0), (20, 25), (7, 3)):
        assert plane([A[i], B[j]]) == pytest.approx(plane.losses[i, j], abs=1e-9)
    points = np.random.default_rng(0).uniform([-1.9, -0.9], [2.9, 3.9], (50, 2))
    for point in points:
        assert plane(point) == pytest.approx(surfaces.styblinski_tang(point), abs=0.05)
        np.testing.assert_allclose(plane.gradient(point), surfaces.styblinski_tang.gradient(point), atol=1.0)


def test_its_pieces_are_scipys_spline() -> None:
    plane = sampled(surfaces.rosenbrock)
    x, y, C = plane.pieces()
    assert C.shape == (len(x) - 1, len(y) - 1, 4, 4)
    assert (x[0], x[-1], y[0], y[-1]) == (A[0], A[-1], B[0], B[-1])
    points = np.random.default_rng(1).uniform([-2, -1], [3, 4], (200, 2))
    for point in points:
        i, j = np.searchsorted(x, point[0], "right") - 1, np.searchsorted(y, point[1], "right") - 1
        u, v = (point[0] - x[i]) ** np.arange(4), (point[1] - y[j]) ** np.arange(4)
        assert u @ C[i, j] @ v == pytest.approx(plane(point), rel=1e-10, abs=1e-7)


def test_there_is_nothing_outside() -> None:
    plane = sampled(surfaces.bowl)
    assert np.isnan(plane([3.01, 0.0]))
    assert np.isnan(plane.gradient([0.0, -1.01])).all()
    assert np.isfinite(plane([3.0, 4.0]))
    assert plane.holds([-2.0, 4.0])


def test_it_is_descended_like_any_function() -> None:
    plane = sampled(surfaces.bowl)
    found = minimize(plane, [2.0, 3.0], "gradient_descent", lr=0.1, steps=100, jac=plane.gradient)
    assert found.fun < 1e-6
    assert abs(np.array(plane.lowest)).max() < 0.2


def test_points_without_a_loss_are_as_high_as_the_highest_and_counted() -> None:
    losses = sampled(surfaces.bowl).losses.copy()
    losses[0, :4], losses[5, 5] = np.nan, np.inf
    plane = of(losses)
    assert plane.missing == 5
    assert plane.heights[0, 0] == plane.heights[5, 5] == losses[np.isfinite(losses)].max()
    assert np.isnan(plane.losses[0, 0])
    assert np.isfinite(plane.pieces()[2]).all()


def test_a_descent_starts_where_the_training_did_or_high() -> None:
    plane = sampled(surfaces.bowl)
    i, j = np.argwhere(plane.start[0] == A)[0, 0], np.argwhere(plane.start[1] == B)[0, 0]
    assert plane.losses[i, j] > np.quantile(plane.losses, 0.9)
    assert of(plane.losses, path=np.array([[1.0, 2.0], [0.0, 0.0]])).start == (1.0, 2.0)


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="finite at no point"):
        of(np.full((21, 26), np.nan))
    with pytest.raises(ValueError, match=r"losses must have shape \(21, 26\)"):
        of(np.ones((26, 21)))
    with pytest.raises(ValueError, match="a must be at least 4 rising numbers"):
        Landscape(about="", a=A[::-1], b=B, losses=np.ones((21, 26)))
    with pytest.raises(ValueError, match="b must be at least 4"):
        Landscape(about="", a=A, b=B[:3], losses=np.ones((21, 3)))
