"""Everything that JAX and optax do with a transformation of gradients."""

import copy
import pickle
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.jax
from stepwell import rules, schedules
from stepwell.rule import Rate, rule
from stepwell.schedules import named as named_schedules
from tests.doors.jax.harness import distance, gradients, parameters, train

door = cast(Any, stepwell.jax)  # whose transformations optax types as giving any tree
PARAMS = parameters("float32")
GIVEN = gradients("float32", steps=12)
SOME = ["adam", "adamw", "nadam", "lion", "sgd", "rmsprop", "adadelta", "adagrad_rowwise", "momentum"]
TIGHT = 1e-6


def made(name: str, rate: Any = 0.1) -> Any:
    return getattr(door, name)(rate)


def plain(name: str) -> list[Any]:
    return train(made(name), PARAMS, GIVEN)


@pytest.mark.parametrize("name", SOME)
def test_in_a_chain(name):
    chained = optax.chain(optax.clip(1.0), made(name), optax.scale(0.5))
    clipped = [jax.tree.map(lambda x: jnp.clip(x, -1, 1), g) for g in GIVEN]
    half = train(made(name), PARAMS, clipped)[0]
    first = train(chained, PARAMS, GIVEN)[0]
    jax.tree.map(
        lambda p, a, b: np.testing.assert_allclose(2 * (a - p), b - p, rtol=1e-4, atol=1e-6), PARAMS, first, half
    )


@pytest.mark.parametrize("name", SOME)
def test_masked_parameters_are_left_alone(name):
    mask = {"number": True, "empty": True, "vector": False, "layer": {"weight": True, "bias": False}}
    hidden = optax.chain(
        optax.masked(made(name), mask), optax.masked(optax.set_to_zero(), jax.tree.map(lambda x: not x, mask))
    )
    found, expected = train(hidden, PARAMS, GIVEN)[-1], plain(name)[-1]
    jax.tree.map(
        lambda on, x, y, p: np.testing.assert_allclose(x, y if on else p, rtol=TIGHT), mask, found, expected, PARAMS
    )


@pytest.mark.parametrize("name", SOME)
def test_two_in_a_multi_transform(name):
    labels = {"number": "a", "empty": "a", "vector": "b", "layer": {"weight": "b", "bias": "a"}}
    both = optax.multi_transform({"a": made(name), "b": door.gradient_descent(1e-3)}, labels)
    found = train(both, PARAMS, GIVEN)[-1]
    mine, descent = plain(name)[-1], train(optax.sgd(1e-3), PARAMS, GIVEN)[-1]
    jax.tree.map(
        lambda k, x, y, z: np.testing.assert_allclose(x, y if k == "a" else z, rtol=TIGHT), labels, found, mine, descent
    )


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "adamw", "lion", "adagrad"])
def test_injected_hyperparameters_can_be_set_between_steps(name):
    mine, theirs = (optax.inject_hyperparams(getattr(m, name))(learning_rate=0.1) for m in (door, optax))
    paths = []
    for optimizer in (mine, theirs):
        state: Any = optimizer.init(PARAMS)
        params, path = PARAMS, []
        update = jax.jit(optimizer.update)
        for i, g in enumerate(GIVEN):
            state.hyperparams["learning_rate"] = jnp.asarray(0.1 / (i + 1))
            updates, state = update(g, state, params)
            params = optax.apply_updates(params, updates)
            path.append(params)
        paths.append(path)
    assert distance(*paths) <= 3e-4


def test_an_injected_schedule_is_one():
    injected = optax.inject_hyperparams(door.adam)(learning_rate=0.1 * schedules.linear(20))
    assert distance(train(injected, PARAMS, GIVEN), train(door.adam(0.1 * schedules.linear(20)), PARAMS, GIVEN)) <= 3e-4


@pytest.mark.parametrize("name", door.__all__)
def test_the_second_call_compiles_nothing(name):
    if name in ("RuleState", "from_rule", "restored", "snapshot"):
        return
    optimizer = made(name)
    params, state = jnp.ones(4), optimizer.init(jnp.ones(4))
    traced = []

    def step(params: Any, state: Any, g: Any) -> Any:
        traced.append(1)
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    compiled: Any = jax.jit(step)
    for i in range(3):
        params, state = compiled(params, state, jnp.full(4, 0.1 * i))
    assert len(traced) == 1
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("name", SOME)
def test_scan_is_the_loop(name):
    optimizer = made(name)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *GIVEN)

    def step(carry: Any, g: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    (last, _), _ = jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), stacked)
    assert distance([PARAMS, last], [PARAMS, plain(name)[-1]]) <= TIGHT


@pytest.mark.parametrize("name", SOME)
def test_a_sweep_of_rates_under_vmap(name):
    rates = jnp.asarray([0.3, 0.1, 0.01])

    def trained(rate: jax.Array) -> Any:
        optimizer, params = made(name, rate), PARAMS
        state = optimizer.init(params)
        for g in GIVEN:
            updates, state = optimizer.update(g, state, params)
            params = optax.apply_updates(params, updates)
        return params

    swept = jax.jit(jax.vmap(trained))(rates)
    for i, rate in enumerate(rates):
        alone = train(made(name, float(rate)), PARAMS, GIVEN)[-1]
        assert distance([PARAMS, jax.tree.map(lambda x, i=i: x[i], swept)], [PARAMS, alone]) <= TIGHT


@pytest.mark.parametrize("name", SOME)
def test_an_ensemble_under_vmap(name):
    optimizer = made(name)
    many = jnp.stack([jnp.linspace(-1, 1, 6).reshape(2, 3) * k for k in (1.0, 2.0, 3.0)])
    state = jax.vmap(optimizer.init)(many)
    updates, _ = jax.vmap(optimizer.update)(many, state, many)
    for g, u in zip(many, updates, strict=True):
        np.testing.assert_allclose(u, optimizer.update(g, optimizer.init(g), g)[0], rtol=TIGHT)


@pytest.mark.parametrize("name", [*SOME, "radam", "yogi", "adamax"])
def test_the_gradient_through_training_is_that_of_differences(name):
    with jax.enable_x64(True):
        start = jnp.asarray([0.5, -2.0])

        def loss(rate: jax.Array) -> jax.Array:
            optimizer = made(name, rate)
            p: Any = start
            state = optimizer.init(p)
            for _ in range(4):
                updates, state = optimizer.update(2 * p + jnp.asarray([0.3, 0.1]), state, p)
                p = optax.apply_updates(p, updates)
            return (p**2).sum()

        slope = jax.grad(loss)(jnp.asarray(0.05))
        difference = (loss(jnp.asarray(0.05 + 1e-6)) - loss(jnp.asarray(0.05 - 1e-6))) / 2e-6
        assert slope == pytest.approx(float(difference), rel=1e-5)


@pytest.mark.parametrize("name", sorted(named_schedules()))
def test_every_schedule_is_a_function_of_the_count(name):
    """Steps of descent along a constant gradient add up to the sum of the rates, compiled once."""
    schedule = schedules.example(name, rate=0.1) if name not in ("piecewise_constant",) else schedules.example(name)
    optimizer = door.gradient_descent(schedule)
    one = [jnp.ones(())] * 20
    path = train(optimizer, jnp.zeros(()), one)
    sums = -np.cumsum([schedule(k) for k in range(20)])
    np.testing.assert_allclose(np.array(path), sums, rtol=2e-6, atol=1e-7)


def test_any_hyperparameter_may_be_a_schedule():
    moving = train(door.adam(0.1, b1=lambda count: jnp.where(count < 5, 0.9, 0.5)), PARAMS, GIVEN[:5])
    assert distance(moving, plain("adam")[:5]) <= TIGHT
    state = door.adam(0.1, b1=schedules.linear(4, rate=0.9)).init(PARAMS)
    assert "beta1" not in state.hyper
    assert state.hyper["beta2"] == 0.999


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", SOME)
def test_half_precision(name, dtype):
    """The arithmetic is in single precision, each outcome is rounded once, and the state has the parameters' type."""
    params, (g, *_) = parameters(dtype), gradients(dtype)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), (params, g))
    optimizer = made(name)
    found, state = optimizer.update(g, optimizer.init(params), params)
    expected, known = optimizer.update(wide[1], optimizer.init(wide[0]), wide[0])
    numbers = {"mu_product"}
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert x.dtype == dtype
        np.testing.assert_array_equal(x, y.astype(dtype))
    for field in set(state._fields) - {"count"} - numbers:
        for x, y in zip(jax.tree.leaves(getattr(state, field)), jax.tree.leaves(getattr(known, field)), strict=True):
            assert x.dtype == dtype
            np.testing.assert_array_equal(x, y.astype(dtype))


def test_state_in_single_precision_beside_half_precision():
    params, given = parameters("bfloat16"), gradients("bfloat16", steps=12)
    optimizer = door.from_rule(rules.adam)(0.1, state_dtype="float32")
    assert {x.dtype.name for x in jax.tree.leaves(optimizer.init(params)[1:])} == {"float32"}
    last = train(optimizer, params, given)[-1]
    assert {x.dtype.name for x in jax.tree.leaves(last)} == {"bfloat16"}


def test_leaves_that_are_none():
    params = {"a": jnp.ones(3), "b": None, "c": jnp.ones(2)}
    g = {"a": jnp.ones(3), "b": None, "c": None}
    for name in ("adam", "sgd", "lion", "nadam"):
        optimizer = made(name)
        state = optimizer.init(params)
        updates, after = optimizer.update(g, state, params)
        assert updates["b"] is None
        assert updates["c"] is None
        alone, _ = optimizer.update({"a": g["a"]}, optimizer.init({"a": params["a"]}), {"a": params["a"]})
        np.testing.assert_array_equal(updates["a"], alone["a"])
        assert jax.tree.structure(after) == jax.tree.structure(state)


def test_trees_without_leaves_and_a_bare_array():
    optimizer = door.adam(0.1)
    assert optimizer.update({}, optimizer.init({}))[0] == {}
    assert optimizer.update((), optimizer.init(()))[0] == ()
    assert optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))[0].shape == (2,)


@pytest.mark.parametrize("name", SOME)
def test_other_wrappers_of_optax(name):
    optimizer = made(name)
    state = optimizer.init(PARAMS)
    mapped: Any = optax.tree_map_params(optimizer, lambda x: x + 1, state)
    assert int(mapped.count) == 0
    many = optax.MultiSteps(optimizer, every_k_schedule=2)
    doubled = [g for g in GIVEN for _ in range(2)]
    assert distance(train(many, PARAMS, doubled)[1::2], plain(name)) <= TIGHT
    finite = optax.apply_if_finite(optimizer, 3)
    bad = jax.tree.map(lambda x: x * jnp.nan, GIVEN[0])
    assert distance(train(finite, PARAMS, [GIVEN[0], bad, *GIVEN[1:]])[2:], plain(name)[1:]) <= TIGHT


def test_a_state_can_be_pickled_and_copied():
    state = door.adamw(0.1).init(PARAMS)
    for again in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state), jax.device_put(state)):
        assert jax.tree.structure(again) == jax.tree.structure(state)
        assert again.rule is rules.adamw
        assert again.hyper == state.hyper


def test_equal_transformations_have_states_of_one_structure():
    one, other = (door.adam(0.1).init(PARAMS) for _ in range(2))
    assert jax.tree.structure(one) == jax.tree.structure(other)


def test_a_user_s_rule():
    @rule
    def halves(p, g, count, *, lr: Rate):
        return lr * g + 0.5 * p, 0.5 * count + g

    optimizer = door.from_rule(halves)(0.25)
    updates, state = optimizer.update(jnp.asarray([4.0]), optimizer.init(jnp.asarray([8.0])), jnp.asarray([8.0]))
    assert updates.tolist() == [-5.0]
    assert state.arrays["count"].tolist() == [4.0]
    assert int(state.count) == 1


def test_a_step_that_does_not_read_the_gradient_has_its_shape():
    @rule
    def constant(g, *, lr: Rate):
        return lr

    optimizer = door.from_rule(constant)(0.25)
    assert optimizer.update(jnp.ones((2, 3)), optimizer.init(jnp.ones((2, 3))))[0].tolist() == [[-0.25] * 3] * 2


@settings(max_examples=25)
@given(
    st.recursive(
        st.lists(st.integers(0, 3), max_size=3).map(tuple),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=5,
    )
)
def test_any_tree_of_any_shapes(shapes):
    """The update of a tree is the tree of updates."""
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    g = jax.tree.map(lambda shape: jnp.full(shape, 0.5), shapes, is_leaf=is_shape)
    optimizer = door.sgd(0.25, momentum=0.5)
    updates, state = optimizer.update(g, optimizer.init(g))
    assert jax.tree.structure(updates) == jax.tree.structure(g) == jax.tree.structure(state.trace)
    jax.tree.map(lambda u, x: np.testing.assert_array_equal(u, -0.25 * x), updates, g)
