"""Adagrad, against the formula written out and the claims of the book."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from tests.rules.oracles import Numbers, Trajectory, assert_ends, assert_follows, follow, last

FLAT = (0.1, 2.0)


def adagrad(p: float, gs: Numbers, lr: float, eps: float, initial_accumulator: float) -> Trajectory:
    for t in range(len(gs)):
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr * gs[t] / (math.sqrt(s) + eps)
        yield p, s


def adagrad_eps_inside(p: float, gs: Numbers, lr: float, eps: float, initial_accumulator: float) -> Trajectory:
    for t in range(len(gs)):
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr * gs[t] / math.sqrt(s + eps)
        yield p, s


def adagradw_eps_inside(
    p: float, gs: Numbers, lr: float, eps: float, initial_accumulator: float, weight_decay: float
) -> Trajectory:
    for t in range(len(gs)):
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p = (1 - lr * weight_decay) * p - lr * gs[t] / math.sqrt(s + eps)
        yield p, s


def adagrad_decayed(
    p: float, gs: Numbers, lr: float, lr_decay: float, eps: float, initial_accumulator: float
) -> Trajectory:
    for t in range(len(gs)):  # torch counts these steps from 0
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr / (1 + t * lr_decay) * gs[t] / (math.sqrt(s) + eps)
        yield p, s


def adagrad_of_rows(
    table: Any, gradients: Any, lr: float, eps: float, initial_accumulator: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each row of a table by itself, number by number: the table and its rows' sums, of shape (rows, 1), each step."""
    rows = [[float(p) for p in row] for row in table]
    sums = [initial_accumulator] * len(rows)
    for step in gradients:
        for i, g in enumerate([float(x) for x in row] for row in step):
            sums[i] += math.fsum(x * x for x in g) / len(g)
            rows[i] = [p - lr * x / (math.sqrt(sums[i]) + eps) for p, x in zip(rows[i], g, strict=True)]
        yield np.array(rows), np.array(sums)[:, None]


def adagrad_without_eps(p: float, gs: Numbers, lr: float, initial_accumulator: float) -> Trajectory:
    for t in range(len(gs)):
        s = initial_accumulator + math.fsum(g * g for g in gs[: t + 1])
        p -= lr * gs[t] / math.sqrt(s) if s > 0 else 0.0
        yield p, s


SETTINGS = [{}, {"lr": 0.3, "eps": 0.1, "initial_accumulator": 0.5}]
ORACLES = {
    "adagrad": (adagrad, SETTINGS),
    "adagrad_eps_inside": (adagrad_eps_inside, SETTINGS),
    "adagrad_rowwise": (adagrad, SETTINGS),  # of one number: a row of one
    "adagrad_rowwise_eps_inside": (adagrad_eps_inside, SETTINGS),
    "adagradw_eps_inside": (adagradw_eps_inside, [{}, SETTINGS[1], {"lr": 0.3, "eps": 0.1, "weight_decay": 0.3}]),
    "adagrad_decayed": (adagrad_decayed, [*SETTINGS, {"lr": 0.3, "lr_decay": 0.2}]),
    "adagrad_without_eps": (adagrad_without_eps, [{}, {"lr": 0.3, "initial_accumulator": 0.5}]),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rule_is_its_formula(name):
    assert_follows(rules.named[name], *ORACLES[name])


@pytest.mark.parametrize(("lr", "end"), [(0.4, ("-2.382563", "-0.158591")), (2.0, ("-0.002295", "-0.000000"))])
def test_two_dimensions_end_where_the_book_ends(lr, end):
    assert_ends(rules.adagrad_eps_inside, FLAT, end, lr=lr, eps=1e-6)


@pytest.mark.parametrize("gradient", [1e-3, 7.0, -250.0])
@pytest.mark.parametrize("rule", [rules.adagrad, rules.adagrad_eps_inside], ids=lambda r: r.name)
def test_a_constant_gradient_gives_steps_of_eta_over_the_root_of_t(rule, gradient):
    path = [0.0, *(p for p, _ in follow(rule, 0.0, [gradient] * 50, lr=0.4, eps=0.0))]
    steps = -np.diff(path)
    expected = math.copysign(0.4, gradient) / np.sqrt(np.arange(1, 51))
    np.testing.assert_allclose(steps, expected, rtol=1e-12)


def test_epsilon_stands_where_the_name_says():
    """Gradient 0.5, ε 0.25: 0.5/(0.5 + 0.25), and 0.5/√(0.25 + 0.25)."""
    assert rules.adagrad(0.5, 0.0, lr=1.0, eps=0.25)[0] == pytest.approx(2 / 3, rel=1e-15)
    assert rules.adagrad_eps_inside(0.5, 0.0, lr=1.0, eps=0.25)[0] == pytest.approx(math.sqrt(0.5), rel=1e-15)


def test_adagrad_depends_on_the_axes_and_descent_does_not():
    turn = np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
    slope = lambda p: 2 * np.array(FLAT) * p  # noqa: E731
    start = np.array([-5.0, -2.0])

    def difference(rule, **hyper):
        straight = last(rule, slope, start, 20, **hyper)
        turned = last(rule, lambda q: turn @ slope(turn.T @ q), turn @ start, 20, **hyper)
        return abs(turn.T @ turned - straight).max()

    assert difference(rules.gradient_descent, lr=0.1) < 1e-12
    assert difference(rules.adagrad, lr=0.4) > 0.1


TABLE = 0.1 * np.random.default_rng(0).standard_normal((3, 4))
GRADIENTS = np.random.default_rng(1).standard_normal((8, 3, 4)) * 10.0 ** np.arange(-4, 4)[:, None, None]
for _shared in (TABLE, GRADIENTS):  # by the tests of all doors
    _shared.flags.writeable = False


def assert_goes_by_rows(hyper: dict[str, float]) -> None:
    """The rule on a table, its state one number a row, is the formula of each row."""
    complete = rules.adagrad_rowwise.complete(hyper)
    p, s = TABLE, np.full((3, 1), complete["initial_accumulator"])
    for g, (table, sums) in zip(GRADIENTS, adagrad_of_rows(TABLE, GRADIENTS, **complete), strict=True):
        step, s = rules.adagrad_rowwise(g, s, **complete)
        p = p - step
        assert s.shape == sums.shape
        np.testing.assert_allclose(s, sums, rtol=1e-14)
        np.testing.assert_allclose(p, table, rtol=0, atol=1e-13 * abs(table).max())


@pytest.mark.parametrize("hyper", SETTINGS, ids=str)
def test_a_table_is_scaled_row_by_row(hyper):
    assert_goes_by_rows(hyper)


WRONG_MEANS = {
    "the sum": lambda x: x.sum(-1, keepdims=True),
    "the mean over the other axis": lambda x: x.mean(0, keepdims=True),
    "the mean of the whole table": lambda x: x.mean(keepdims=True),
    "each element for itself": lambda x: x,
    "the largest": lambda x: x.max(-1, keepdims=True),
}


@pytest.mark.parametrize("wrong", WRONG_MEANS)
@pytest.mark.parametrize("hyper", SETTINGS, ids=str)
def test_another_mean_is_rejected(hyper, wrong, monkeypatch):
    monkeypatch.setitem(rules.adagrad_rowwise.formula.__globals__, "row_mean", WRONG_MEANS[wrong])
    with pytest.raises(AssertionError):
        assert_goes_by_rows(hyper)


def test_a_row_turned_in_its_own_space_is_stepped_alike():
    """The mean square of a row is its length, whatever its axes: what Adagrad by elements does not keep."""
    turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((4, 4)))
    for rule, kept in ((rules.adagrad_rowwise, True), (rules.adagrad, False)):
        hyper, g = rule.complete({"lr": 1.0}), GRADIENTS[4]
        plain, turned = (rule(x, 0 * x, **hyper)[0] for x in (g, g @ turn))
        assert np.allclose(plain @ turn, turned, rtol=1e-12, atol=1e-13) is kept


def test_without_epsilon_a_coordinate_without_a_gradient_stays():
    with np.errstate(all="ignore"):  # 0/0, which is not taken
        path = list(follow(rules.adagrad_without_eps, np.float64(0.5), [np.float64(g) for g in (0, 0, -3)], lr=0.25))
    assert path == [(0.5, 0.0), (0.5, 0.0), (0.75, 9.0)]
