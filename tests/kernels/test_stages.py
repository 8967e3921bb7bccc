"""What surrounds a rule in a step: each stage alone does what it says, exactly, and nothing more."""

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import STAGE_SCALARS, Stages, cpu
from stepwell.kernels.source import ADDRESSES
from tests.kernels.harness import STEPS, Work, address, age, by_kernel

N = 1003


def integers(seed: int) -> np.ndarray:
    """Small whole numbers: sums and products with halves of them are exact in any order."""
    return np.random.default_rng(seed).integers(-64, 64, N).astype(np.float32)


def run(stages: Stages, **scalars: float) -> dict[str, np.ndarray]:
    """One step of momentum with lr ½ and β ½ on whole numbers."""
    kernel = cpu.kernel(rules.momentum, stages, ("float32",) * (3 + stages.ema))
    named = {name: integers(k) for k, name in enumerate(("p", "g", "v", "ema"))}
    table = kernel.table([N], [0])
    table[0, ADDRESSES:] = [address(named[name]) for name in kernel.program.arrays]
    hyper = {"lr": 0.5, "beta": 0.5, **scalars}
    kernel.run(table, np.ones((1, 1)), np.array([[hyper[name] for name in kernel.program.scalars]]), 1)
    return named


p, g, v, ema = (integers(k) for k in range(4))


def test_no_stage():
    now = run(Stages())
    np.testing.assert_array_equal(now["v"], 0.5 * v + g)
    np.testing.assert_array_equal(now["p"], p - 0.5 * (0.5 * v + g))
    np.testing.assert_array_equal(now["g"], g)
    np.testing.assert_array_equal(now["ema"], ema)


@pytest.mark.parametrize("scale", [1.0, -1.0, 0.25, 0.0])
def test_scale_multiplies_the_gradient(scale):
    now = run(Stages(scale=True), grad_scale=scale)
    np.testing.assert_array_equal(now["v"], 0.5 * v + scale * g)
    np.testing.assert_array_equal(now["p"], p - 0.5 * (0.5 * v + scale * g))
    np.testing.assert_array_equal(now["g"], g)


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_decay_adds_the_parameter_to_the_gradient(decay):
    now = run(Stages(decay=True), l2_decay=decay)
    np.testing.assert_array_equal(now["v"], 0.5 * v + g + decay * p)
    np.testing.assert_array_equal(now["p"], p - 0.5 * (0.5 * v + g + decay * p))


def test_decay_is_not_scaled():
    """Ascent and clipping change the gradient, not the pull towards 0."""
    now = run(Stages(scale=True, decay=True), grad_scale=-1.0, l2_decay=0.5)
    np.testing.assert_array_equal(now["v"], 0.5 * v - g + 0.5 * p)


@pytest.mark.parametrize("bound", [8.0, 0.0, 100.0])
def test_clip_bounds_each_element_of_the_scaled_gradient(bound):
    now = run(Stages(scale=True, clip=True, decay=True), grad_scale=-0.5, clip_value=bound, l2_decay=0.5)
    expected = 0.5 * v + np.clip(-0.5 * g, -bound, bound) + 0.5 * p
    np.testing.assert_array_equal(now["v"], expected)
    np.testing.assert_array_equal(now["p"], p - 0.5 * expected)
    np.testing.assert_array_equal(now["g"], g)


@pytest.mark.parametrize("bound", [8.0, 0.0, 100.0])
def test_clip_decayed_bounds_the_gradient_after_decay(bound):
    now = run(Stages(decay=True, clip_decayed=True), l2_decay=0.5, clip_decayed_value=bound)
    np.testing.assert_array_equal(now["v"], 0.5 * v + np.clip(g + 0.5 * p, -bound, bound))


def test_clip_bounds_infinity_and_leaves_nan():
    kernel = cpu.kernel(rules.gradient_descent, Stages(clip=True), ("float32", "float32"))
    params, grads = np.zeros(20, np.float32), np.array([np.inf, -np.inf, np.nan, -0.0, 3.0] * 4, np.float32)
    table = kernel.table([20], [0])
    table[0, ADDRESSES:] = [address(params), address(grads)]
    kernel.run(table, np.ones((1, 1)), np.array([[1.0, 2.0]]), 1)
    np.testing.assert_array_equal(params, -np.array([2.0, -2.0, np.nan, 0.0, 2.0] * 4, np.float32))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.75])
def test_ema_averages_the_new_parameter(decay):
    now = run(Stages(ema=True), ema_decay=decay)
    np.testing.assert_array_equal(now["p"], p - 0.5 * (0.5 * v + g))
    np.testing.assert_array_equal(now["ema"], decay * ema + (1 - decay) * now["p"])


def test_zero_leaves_the_gradient_zero_and_the_rest_as_it_was():
    now, plain = run(Stages(zero=True)), run(Stages())
    np.testing.assert_array_equal(now["g"], np.zeros(N))
    for name in ("p", "v", "ema"):
        np.testing.assert_array_equal(now[name], plain[name])


def test_zero_wipes_out_what_is_not_finite():
    kernel = cpu.kernel(rules.gradient_descent, Stages(zero=True), ("float32", "float32"))
    params, grads = np.zeros(20, np.float32), np.full(20, np.nan, np.float32)
    table = kernel.table([20], [0])
    table[0, ADDRESSES:] = [address(params), address(grads)]
    kernel.run(table, np.ones((1, 1)), np.array([[0.5]]), 1)
    assert not grads.any()
    assert np.isnan(params).all()


def test_each_stage_brings_the_scalar_that_is_named_for_it():
    assert Stages().scalars == ()
    assert Stages(True, True, True, True, True, True).scalars == tuple(STAGE_SCALARS.values())
    for stage, scalar in STAGE_SCALARS.items():
        assert Stages(**{stage: True}).scalars == (scalar,)
        program = cpu.program(rules.adam, Stages(**{stage: True}))
        assert program.scalars == (*rules.adam.hyperparameters, scalar)


def test_tensors_of_one_call_do_not_know_of_each_other():
    """Ten tensors in one table, with groups and clocks of their own: each is, bit for bit, what it is alone."""
    work = Work(rules.adamw, Stages(scale=True, ema=True), sizes=(5, 0, 16385, 1, 17, 16384, 2, 100, 33, 16383))
    *_, last = by_kernel(work)
    kernel = cpu.kernel(work.rule, work.stages, ("float32",) * 5)
    for k, size in enumerate(work.sizes):
        own = work.start(k)
        table = kernel.table([size], [0])
        groups = np.array([[work.hyper(k)[name] for name in kernel.program.scalars]])
        for step in range(STEPS):
            own["g"] = work.gradients(step)[k]
            table[0, ADDRESSES:] = [address(own[name]) for name in kernel.program.arrays]
            kernel.run(table, np.full((1, 1), age(k) + step + 1.0), groups, 1)
        for name, expected in last[k].items():
            np.testing.assert_array_equal(own[name], expected)


def test_an_empty_table_is_no_work():
    kernel = cpu.kernel(rules.momentum, Stages(), ("float32",) * 3)
    kernel.run(kernel.table([], []), kernel.clock(0), np.zeros((1, 2)), 2)


def test_an_empty_tensor_has_scalar_state_too():
    """NAdam's product of momenta goes on where a parameter has no elements."""
    kernel = cpu.kernel(rules.nadam, Stages(), ("float64",) * 4)
    empty, products = np.zeros(0), np.array([0.5, 0.25])
    table = kernel.table([0, 0], [0, 0])
    table[:, ADDRESSES:-1] = address(empty)
    table[:, -1] = address(products) + 8 * np.arange(2)
    hyper = rules.nadam.complete({"momentum_decay": 0.0})
    clock = np.column_stack([np.ones(2), products])
    kernel.run(table, clock, np.array([[hyper[name] for name in kernel.program.scalars]]), 1)
    np.testing.assert_allclose(products, [0.5 * 0.45, 0.25 * 0.45], rtol=1e-15)
