"""Planes in weight space: principal directions of a path, filters' random ones, and where points lie in them."""

import numpy as np
import pytest
import torch

from stepwell.lab.landscapes.directions import coordinates, filter_normalized, principal, reach


def bent(seed: int = 0, weights: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A path that lies in a plane: 20 points in `weights` axes, and the plane's own two axes."""
    draw = np.random.default_rng(seed)
    axes = np.linalg.qr(draw.standard_normal((weights, 2)))[0].T
    t = np.linspace(1, 0, 20)[:, None]
    return 5.0 + np.hstack([3 * t, t * (1 - t)]) @ axes, axes


def test_the_plane_of_a_path_holds_it_all() -> None:
    path, _ = bent()
    found = principal(path, seed=0)
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-12)
    points, share = coordinates(path, path[-1], found)
    assert share == pytest.approx(1.0)
    np.testing.assert_allclose(points @ found + path[-1], path, atol=1e-12)
    assert (points[0] > 0).all()
    assert (abs(points).max(0)[0] > abs(points).max(0)[1]).all()


def test_the_first_direction_is_numpys_principal_one() -> None:
    path = np.random.default_rng(1).standard_normal((12, 5)) * [5, 3, 1, 0.1, 0.1]
    found = principal(path, seed=0)
    offsets = path - path[-1]
    values, vectors = np.linalg.eigh(offsets.T @ offsets)
    for mine, theirs in zip(found, vectors.T[::-1][:2], strict=True):
        assert abs(mine @ theirs) == pytest.approx(1.0)
    _, share = coordinates(path, path[-1], found)
    assert share == pytest.approx(values[-2:].sum() / values.sum())
    assert share < 1


def test_a_straight_path_has_a_second_direction_across() -> None:
    path = np.linspace(1, 0, 9)[:, None] * np.arange(1.0, 7.0)
    found = principal(path, seed=3)
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-9)
    assert (principal(path, seed=3) == found).all()
    assert (principal(path, seed=4)[1] != found[1]).any()


def test_what_has_no_plane_is_refused() -> None:
    with pytest.raises(ValueError, match="single weight"):
        principal(np.ones((3, 1)), seed=0)
    with pytest.raises(ValueError, match="did not move the weights"):
        principal(np.ones((3, 4)), seed=0)
    with pytest.raises(ValueError, match="no filters"):
        filter_normalized([torch.ones(5)], seed=0)


def test_each_filter_of_a_random_direction_is_as_long_as_that_of_the_weights() -> None:
    conv, bias = torch.randn(4, 3, 2, 2), torch.randn(4)
    conv[2] = 0
    found = filter_normalized([conv, bias], seed=1)
    assert found.shape == (2, 4 * 12 + 4)
    for direction in found:
        filters = direction[:48].reshape(4, 12)
        np.testing.assert_allclose(np.linalg.norm(filters, axis=1), conv.flatten(1).norm(dim=1), rtol=1e-6)
        assert not direction[48:].any()
    assert abs(found[0] @ found[1]) < 0.9 * np.linalg.norm(found[0]) ** 2
    assert (filter_normalized([conv, bias], seed=1) == found).all()
    assert (filter_normalized([conv, bias], seed=2) != found).any()


def test_a_grid_reaches_around_the_path() -> None:
    path = np.array([[4.0, 0.5], [0.0, 0.0]])
    (a, b), (c, d) = reach(path, 0.25)
    assert (a, b) == pytest.approx((-1.0, 5.0))
    assert d - c == pytest.approx(2 * 0.4 * 4.0)
    assert (c + d) / 2 == pytest.approx(0.25)
