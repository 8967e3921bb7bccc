"""What `minimize` returns: the book's runs, noise, projection, callbacks, and every way of ending."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult

from stepwell import rules, schedules
from stepwell.functions import minimize, sets, surfaces
from stepwell.functions.descent import Status
from stepwell.rule import Rate, rule

START = (-5.0, -2.0)


@rule
def signed(p, g, u, t, *, lr: Rate = 0.1, pull: float = 0.5):
    """A rule that reads everything there is."""
    u = u + g
    return lr * (g + pull * p) / t + 0.0 * u, u


@pytest.mark.parametrize(
    ("surface", "method", "settings", "steps", "end"),
    [
        ("square", "gradient_descent", {"lr": 0.2}, 10, 0.060466),
        ("square", "gradient_descent", {"lr": 0.05}, 10, 3.486784),
        ("square", "gradient_descent", {"lr": 1.1}, 10, 61.917364),
        ("wave", "gradient_descent", {"lr": 2}, 10, -1.528166),
        ("cosh", "newton", {}, 10, 0.0),
        ("wave", "newton", {}, 10, 26.834133),
        ("wave", "newton", {"lr": 0.5}, 10, 7.269860),
        ("bowl", "gradient_descent", {"lr": 0.1}, 20, (-0.057646, -0.000073)),
        ("ravine", "gradient_descent", {"lr": 0.4}, 20, (-0.943467, -0.000073)),
        ("ravine", "gradient_descent", {"lr": 0.6}, 20, (-0.387814, -1673.365)),
        ("ravine", "momentum", {"lr": 0.6, "beta": 0.5}, 20, (0.007188, 0.002553)),
        ("ravine", "momentum", {"lr": 0.6, "beta": 0.25}, 20, (-0.126340, -0.186632)),
        ("ravine", "adagrad_eps_inside", {"lr": 0.4}, 20, (-2.382563, -0.158591)),
        ("ravine", "adagrad_eps_inside", {"lr": 2}, 20, (-0.002295, 0.0)),
        ("ravine", "rmsprop_eps_inside", {"lr": 0.4}, 20, (-0.010599, 0.0)),
    ],
)
def test_the_runs_of_the_book_end_where_it_says(surface: str, method: str, settings: Any, steps: int, end: Any):
    start = 10.0 if np.ndim(end) == 0 else START
    result = minimize(surfaces.named[surface], start, method, steps=steps, **settings)
    assert np.all(abs(result.x - np.array(end)) < np.where(abs(np.array(end)) > 1000, 6e-4, 6e-7))
    assert result.nit == steps
    assert result.path.shape == (steps + 1, *np.shape(start))


@pytest.mark.parametrize("name", rules.named)
def test_every_rule_takes_the_steps_of_its_formula(name: str):
    formula = rules.named[name]
    path, hyper = [np.array(START)], formula.complete({"lr": 0.01})
    state = {s: np.full(2, formula.start_of(s, hyper)) for s in formula.state}
    for t in range(1, 8):
        arrays = {"p": path[-1], "g": path[-1] * [2.0, 4.0], "t": t, **state}
        step, *new = formula.bind(arrays, hyper)
        path, state = [*path, path[-1] - step], dict(zip(formula.state, new, strict=True))
    result = minimize(surfaces.bowl, START, name, lr=0.01, steps=7)
    np.testing.assert_allclose(result.path, path, rtol=1e-12)
    np.testing.assert_allclose(result.values, [x @ (x * [1.0, 2.0]) for x in np.array(path)], rtol=1e-12)


def test_a_rule_of_the_users_own_with_its_default_rate():
    result = minimize(lambda x: x**2, 3.0, signed, steps=2, jac=lambda x: 2 * x, pull=1.0)
    first = 3.0 - 0.1 * (6.0 + 3.0)
    assert result.path == pytest.approx([3.0, first, first - 0.1 * 3 * first / 2], rel=1e-14)


def test_a_method_of_the_users_own():
    class Halve:
        def init(self, x, lr, hyper):
            return lr, None

        def step(self, objective, x, g, state, t, lr):
            return x / 2, state

    assert minimize(surfaces.square, 8.0, Halve(), steps=3).x == 1.0


def test_the_rate_may_be_any_function_of_the_step_from_zero():
    seen = []

    def rate(k: int) -> float:
        seen.append(k)
        return 0.1 / (k + 1)

    result = minimize(surfaces.square, 1.0, lr=rate, steps=3)
    assert result.x == pytest.approx(0.8 * 0.9 * (1 - 0.2 / 3), rel=1e-14)
    assert sorted(set(seen)) == [0, 1, 2]
    scheduled = minimize(surfaces.square, 1.0, "newton", lr=schedules.linear(4), steps=2)
    assert scheduled.path == pytest.approx([1.0, 0.0, 0.0])


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_particles_walk_as_each_would_alone(m: int, seed: int):
    starts = np.random.default_rng(seed).normal(size=(m, 2))
    for method in ("adam", "newton_abs", "diagonal"):
        together = minimize(surfaces.rosenbrock, starts, method, lr=0.1, steps=4)
        alone = [minimize(surfaces.rosenbrock, x, method, lr=0.1, steps=4) for x in starts]
        np.testing.assert_allclose(together.path, np.stack([r.path for r in alone], 1), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(together.values, sum(r.values for r in alone), rtol=1e-9)


def test_noise_has_the_spread_that_was_asked_for():
    cloud = minimize(surfaces.bowl, np.tile(START, (4000, 1)), lr=0.1, steps=50, noise=1.0)
    # the stationary variance of x ← (1-ηλ)x - ηz is η²/(1-(1-ηλ)²)
    expected = [0.1 / math.sqrt(1 - (1 - 0.1 * curvature) ** 2) for curvature in (2, 4)]
    assert cloud.x.std(0) == pytest.approx(expected, rel=0.04)
    assert cloud.success


def test_noise_of_the_users_own_is_drawn_from_the_seed():
    def noise(rng, x, g):
        return g * rng.choice([0.0, 2.0])

    runs = [minimize(surfaces.square, 1.0, lr=0.1, steps=20, noise=noise, seed=seed).path for seed in (1, 1, 2)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()
    assert set((runs[0][1:] / runs[0][:-1]).round(12)) == {1.0, 0.6}


def test_every_point_of_a_projected_path_lies_in_the_set():
    ball = sets.Ball(1.0, [3.0, 0.0])
    result = minimize(surfaces.bowl, [3.0, 1.0], lr=0.1, steps=200, project=ball)
    assert all(ball.contains(x) for x in result.path)
    assert result.x == pytest.approx([2.0, 0.0], abs=1e-9)
    cloud = minimize(surfaces.bowl, [[3.0, 1.0], [3.0, 0.0]], lr=0.1, steps=200, project=ball)
    assert cloud.x == pytest.approx(np.array([[2.0, 0.0], [2.0, 0.0]]), abs=1e-9)
    assert minimize(surfaces.square, 5.0, lr=0.1, project=lambda x: max(x, 2.0)).x == 2.0


def test_the_callback_sees_each_step_and_may_stop():
    seen = []

    def watch(intermediate_result):
        seen.append((intermediate_result.nit, float(intermediate_result.x), intermediate_result.fun))
        if intermediate_result.nit == 3:
            raise StopIteration

    result = minimize(surfaces.square, 1.0, lr=0.25, callback=watch)
    assert seen == [(1, 0.5, 0.25), (2, 0.25, 0.0625), (3, 0.125, 0.015625)]
    assert (result.status, result.success, result.nit) == (Status.STOPPED, False, 3)
    assert "callback stopped the run after 3 steps" in result.message


def test_tol_ends_a_run_when_it_is_reached_and_fails_it_when_not():
    reached = minimize(surfaces.square, 1.0, lr=0.25, steps=100, tol=0.01)
    assert reached.success
    assert reached.nit == 8  # 2·2⁻⁸ is the first gradient within .01
    assert "converged" in reached.message
    missed = minimize(surfaces.square, 1.0, lr=0.25, steps=7, tol=0.01)
    assert (missed.success, missed.status) == (False, Status.STEPS)
    assert missed.message == "‖∇f‖ is 0.015625 after 7 steps, above tol 0.01"
    assert minimize(surfaces.square, 0.0, tol=0.0).nit == 0


def test_divergence_is_a_result_with_its_path():
    result = minimize(surfaces.square, 1.0, lr=1e150, steps=50)
    assert (result.status, result.success) == (Status.DIVERGED, False)
    assert "not finite at step 2" in result.message
    assert len(result.path) == len(result.values) == result.nit + 1 == 3
    assert np.isfinite(result.path[:-1]).all()
    assert not math.isfinite(result.values[-1])
    assert minimize(math.cosh, 100.0, lr=1.0).status == Status.DIVERGED  # where math raises OverflowError


def test_a_gradient_that_breaks_is_divergence():
    result = minimize(lambda x: x * x, 1.0, lr=0.25, jac=lambda x: 2 * x if x > 0.2 else math.nan)
    assert (result.status, result.nit) == (Status.DIVERGED, 3)
    assert "∇f is not finite at step 3" in result.message


def test_an_f_that_rose_is_no_success():
    result = minimize(surfaces.wave, 10.0, "newton", steps=10)
    assert (result.status, result.success) == (Status.ROSE, False)
    assert "f rose from" in result.message
    assert result.message.endswith("in 10 steps: lr 1 is too large, or the method climbs")
    assert "steps: lr is too large" in minimize(surfaces.square, 1.0, lr=lambda k: 2.0, steps=3).message
    assert minimize(surfaces.square, 0.0, lr=0.3, noise=1.0).success


def test_nothing_is_evaluated_more_often_than_it_must():
    calls = {"f": 0, "g": 0}

    def counted(name, value):
        calls[name] += 1
        return value

    result = minimize(lambda x: counted("f", x @ x), [1.0, 2.0], steps=10, jac=lambda x: counted("g", 2 * x))
    assert calls == {"f": 11, "g": 11} == {"f": result.nfev, "g": result.njev}
    assert minimize(surfaces.square, 1.0, steps=0).path == [1.0]


def test_functions_that_write_into_their_argument_do_no_harm():
    def spoil(x):
        value = float(x @ x)
        x[:] = np.nan
        return value

    buffer = np.zeros(2)

    def shared(x):
        buffer[:] = 2 * x
        return buffer

    start = np.array([1.0, 2.0])
    result = minimize(spoil, start, "momentum", lr=0.1, steps=5, jac=shared)
    clean = minimize(lambda x: x @ x, start, "momentum", lr=0.1, steps=5, jac=lambda x: 2 * x)
    assert (result.path == clean.path).all()
    assert (start == [1.0, 2.0]).all()


def test_the_result_is_scipys_and_survives_pickling():
    result = minimize(surfaces.square, 1.0, lr=0.25, steps=2)
    assert isinstance(result, OptimizeResult)
    assert "gradient_from: surface" in repr(result)
    again = pickle.loads(pickle.dumps(result))
    assert (again.values == result.values).all()
    assert (result["values"] == [1.0, 0.25, 0.0625]).all()
