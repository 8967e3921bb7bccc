"""The kernel that XLA calls where it alone would keep whole arrays: where it is used, and that it has XLA's numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import stepwell.jax as door
from stepwell import rules
from stepwell.jax import native, step
from stepwell.rule import Rate, rule, sqrt

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4), "b": jnp.ones(5)}
GRADIENTS = jax.tree.map(lambda p: jnp.sin(3 * p) + 0.1, PARAMS)


def compiled(optimizer, params=PARAMS, gradients=GRADIENTS) -> str:
    state = optimizer.init(params)
    return str(jax.jit(optimizer.update).lower(gradients, state, params).compile().as_text())


def by_xla(monkeypatch):
    monkeypatch.setattr(native, "suits", lambda rule, arrays: False)
    step.compiled.cache_clear()


def test_adadelta_goes_through_it_and_adam_does_not():
    assert compiled(door.adadelta(0.5)).count('custom_call_target="stepwell_') == len(PARAMS)
    assert "stepwell_" not in compiled(door.adam(0.5))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_does_not(dtype):
    halves = [jax.tree.map(lambda x: x.astype(dtype), tree) for tree in (PARAMS, GRADIENTS)]
    assert "custom_call_target" not in compiled(door.adadelta(0.5), *halves)


def run(optimizer, steps=20):
    params, state = PARAMS, optimizer.init(PARAMS)
    update = jax.jit(optimizer.update)
    for k in range(steps):
        updates, state = update(jax.tree.map(lambda g, k=k: g * (1 + k % 3), GRADIENTS), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", ["adadelta", "adadeltaw", "rmsprop_eps_inside_nesterov"])
def test_it_takes_xlas_own_steps(name, monkeypatch):
    make = door.from_rule(rules.named[name])
    found = run(make(lr=0.5))
    by_xla(monkeypatch)
    expected = run(make(lr=0.5))
    step.compiled.cache_clear()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6)


def test_rates_and_gradients_can_be_mapped_over_and_differentiated():
    rates, several = jnp.array([0.1, 1.0, 2.0]), jnp.stack([GRADIENTS["w"], 2 * GRADIENTS["w"], -GRADIENTS["w"]])

    def first(home: Any, rate: Any, g: Any) -> Any:
        optimizer = home.adadelta(rate, eps=1e-2)
        updates, _ = optimizer.update(g, optimizer.init(PARAMS["w"]), PARAMS["w"])
        return updates

    mapped = jax.vmap(lambda rate, g: first(door, rate, g))(rates, several)
    np.testing.assert_allclose(mapped, [first(optax, r, g) for r, g in zip(rates, several, strict=True)], rtol=1e-5)
    twice = jax.vmap(jax.vmap(lambda rate, g: first(door, rate, g), (0, None)), (None, 0))(rates, several)
    np.testing.assert_allclose(twice[1, 2], first(optax, rates[2], several[1]), rtol=1e-5)
    ours, theirs = (jax.grad(lambda g, h=home: (first(h, 0.5, g) ** 2).sum())(several[0]) for home in (door, optax))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    by_rate = jax.grad(lambda rate: first(door, rate, several[0]).sum())(0.5)
    np.testing.assert_allclose(by_rate, 2 * first(optax, 0.5, several[0]).sum(), rtol=1e-5)


def test_the_arguments_of_a_step_keep_their_values():
    optimizer = door.adadelta(0.5)
    state = optimizer.init(PARAMS)
    kept = jax.tree.map(np.array, (GRADIENTS, state))
    jax.block_until_ready(jax.jit(optimizer.update)(GRADIENTS, state, PARAMS))
    for a, b in zip(jax.tree.leaves((GRADIENTS, state)), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(a, b)


def test_updates_take_the_memory_of_their_gradients():
    """Given up for them, they leave nothing to be allocated; optax's own keeps whole arrays."""
    params = jnp.ones(100_000)

    def own_memory(optimizer):
        update = jax.jit(optimizer.update, donate_argnums=(0, 1))
        found: Any = update.lower(params, optimizer.init(params), params).compile().memory_analysis()
        return found.temp_size_in_bytes

    assert own_memory(door.adadelta(0.5)) < params.nbytes / 10
    assert own_memory(optax.adadelta(0.5)) > params.nbytes


@rule
def lagged(g, s, v, *, lr: Rate = 0.1):
    """A state that is written and never read, made of what the step is made of."""
    d = sqrt(g * g + 1.0)
    return lr * d, g * d, s


@rule
def unscaled(g, s):
    """No scalar at all."""
    d = sqrt(s + 1.0)
    return d * g, d + g * g


@pytest.mark.parametrize("own", [lagged, unscaled], ids=lambda r: r.name)
def test_a_users_rule_goes_through_it(own):
    optimizer = door.from_rule(own)()
    assert "stepwell_" in compiled(optimizer)
    state = optimizer.init(PARAMS)
    arrays = {name: np.zeros((3, 4)) for name in own.state}
    for k in range(3):
        g = GRADIENTS["w"] * (k + 1)
        updates, state = jax.jit(optimizer.update)({"w": g, "b": GRADIENTS["b"]}, state, PARAMS)
        change, *new = own.bind({"g": np.asarray(g, float), **arrays}, own.complete({}))
        arrays = dict(zip(own.state, new, strict=True))
        np.testing.assert_allclose(updates["w"], -change, rtol=1e-5)
        for name, value in arrays.items():
            np.testing.assert_allclose(getattr(state, name)["w"], value, rtol=1e-5)


def test_a_rate_of_pythons_can_be_differentiated_forward():
    def outcome(rate: float) -> Any:
        optimizer = door.adam(rate)
        return jnp.sum(jnp.asarray(optimizer.update(GRADIENTS["b"], optimizer.init(PARAMS["b"]), PARAMS["b"])[0]))

    _, slope = jax.jvp(outcome, (0.5,), (1.0,))
    np.testing.assert_allclose(slope, 2 * outcome(0.5), rtol=1e-5)
