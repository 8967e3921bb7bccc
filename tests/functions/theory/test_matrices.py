"""Condition numbers, discs and preconditioning, on random positive definite matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.functions.theory import condition_number, gershgorin, precondition


def random_definite(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 7))
    factor = random.normal(size=(n, n))
    scale = 10.0 ** random.uniform(-2, 2, n)
    return scale[:, None] * (factor @ factor.T + 0.1 * np.eye(n)) * scale


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_condition_number_is_that_of_the_norm(seed: int) -> None:
    q = random_definite(seed)
    assert condition_number(q) == pytest.approx(np.linalg.cond(q, 2), rel=1e-3)
    assert condition_number(7 * q) == pytest.approx(condition_number(q), rel=1e-3)


def test_units_do_not_count_as_singular() -> None:
    assert condition_number(np.eye(3)) == 1
    assert condition_number(np.diag([1.0, 1e-20])) == pytest.approx(1e20)
    assert precondition(np.diag([1.0, 1e-200])).tolist() == [[1, 0], [0, 1]]
    assert precondition([[1e20, 1e9], [1e9, 1.0]]) == pytest.approx(np.array([[1, 0.1], [0.1, 1]]))


@given(seeds)
def test_preconditioning_gives_a_unit_diagonal(seed: int) -> None:
    q = random_definite(seed)
    scaled = precondition(q)
    assert (scaled.diagonal() == 1).all()
    root = np.diag(q.diagonal() ** -0.5)
    assert scaled == pytest.approx(root @ q @ root)
    assert precondition(np.diag(q.diagonal())) == pytest.approx(np.eye(len(q)))


@given(seeds)
def test_the_discs_hold_the_eigenvalues(seed: int) -> None:
    random = np.random.default_rng(seed)
    for q in (random_definite(seed), precondition(random_definite(seed)), random.normal(size=(5, 5))):
        discs = gershgorin(q)
        assert discs.contain(np.linalg.eigvals(q)).all()
        assert discs.contain(gershgorin(q.T).centres).all()
        far = discs.centres.max() + 1.01 * discs.radii.max() + 0.01
        assert not discs.contain([far, 1j * (np.abs(discs.centres).max() + far)]).any()


def test_discs_are_rows_and_keep_their_edges() -> None:
    discs = gershgorin([[1.0, -2.0], [0.5, 4.0]])
    assert discs.centres.tolist() == [1, 4]
    assert discs.radii.tolist() == [2, 0.5]
    assert discs.contain([3.0, 3.2, 4.5, 4.51, 1 + 2j, 1 + 2.1j]).tolist() == [True, False, True, False, True, False]


@pytest.mark.parametrize("ask", [condition_number, precondition])
def test_only_positive_definite_matrices_are_taken(ask) -> None:
    for q, words in (
        ([[1.0, 2.0], [2.0, 1.0]], "positive definite; got the eigenvalue -1"),
        ([[1.0, 1.0], [1.0, 1.0]], "positive definite"),
        (np.zeros((2, 2)), "positive definite"),
        ([[1.0, 0.5], [0.0, 1.0]], "symmetric"),
        ([[1.0, np.nan], [np.nan, 1.0]], "square matrix of finite"),
        (np.ones((2, 3)), "square matrix of finite"),
    ):
        with pytest.raises(ValueError, match=f"Q must be.*{words}"):
            ask(q)
    for q in ("a", [["a"]], [[1j]]):
        with pytest.raises(TypeError, match="Q must be a square matrix of finite numbers; got"):
            ask(q)
    with pytest.raises(ValueError, match="square"):
        gershgorin([1.0, 2.0])
