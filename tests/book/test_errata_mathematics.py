"""What the library's mathematics says where the texts say otherwise, apart from the page: errata 21, 22 and 25."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.functions import minimize, surfaces

Q, C = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([1.0, -2.0])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=2))
def test_21_the_gradient_is_zero_at_the_minimum_and_only_there(x: list[float]) -> None:
    h, solved = surfaces.quadratic(Q, C, 0.5), np.linalg.solve(Q, C)
    assert h.gradient(np.array(x)) == pytest.approx(Q @ (x + solved), abs=1e-9)
    assert h.gradient(-solved) == pytest.approx([0, 0], abs=1e-12)
    assert Q @ (-solved - solved) == pytest.approx(-2 * C)  # the texts' gradient at the minimum


def test_21_descent_shrinks_each_eigencoordinate_by_its_own_factor() -> None:
    values, axes = np.linalg.eigh(Q)
    path = minimize(surfaces.quadratic(Q), [0.7, -1.1], lr=0.1, steps=3).path @ axes
    assert path[3] / path[0] == pytest.approx((1 - 0.1 * values) ** 3)
    assert path[3] / path[0] != pytest.approx((1 - values) ** 3, rel=0.1)


@pytest.mark.parametrize("share", [1.1, 1.5, 1.9, 1.99])
def test_22_descent_converges_between_one_and_two(share: float) -> None:
    result = minimize(surfaces.half_square, 10.0, lr=share, steps=1000)
    assert result.success
    assert abs(result.x) < 1e-3
    assert result.path[1] < 0  # it did overshoot


def test_22_descent_diverges_past_two() -> None:
    assert minimize(surfaces.half_square, 10.0, lr=2.01, steps=1000).path[-1] > 1e4


def test_25_a_turned_surface_has_the_same_curvatures() -> None:
    def curvatures(surface: surfaces.Surface) -> np.ndarray:
        return np.linalg.eigvalsh(surface.hessian([0.3, -0.4]))

    assert curvatures(surfaces.rotated(surfaces.ravine)) == pytest.approx([0.2, 4.0])
    assert curvatures(surfaces.ravine_rotated) == pytest.approx([0.2, 4.0])
    assert curvatures(surfaces.ravine_rotated_doubled) == pytest.approx([0.4, 8.0])


def test_25_descent_cannot_tell_a_turned_surface_from_the_first() -> None:
    turned = surfaces.rotated(surfaces.ravine)
    ends = [minimize(s, s.start, lr=0.4, steps=20).fun for s in (surfaces.ravine, turned)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)
    assert not minimize(surfaces.ravine_rotated_doubled, turned.start, lr=0.4, steps=20).success
