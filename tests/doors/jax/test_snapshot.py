"""A training that is saved and goes on equals one that was not interrupted."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import stepwell.jax as door
from stepwell import rules, schedules
from stepwell.checkpoint.snapshot import CheckpointError, Snapshot
from tests.doors.jax.harness import gradients, parameters, train

SHAPES = {"scale": (), "layer": [{"weight": (3, 2), "bias": (2,)}]}
PARAMS, GIVEN = parameters("float32", SHAPES), gradients("float32", SHAPES, 10)


def advanced(optimizer, params, state, given):
    for g in given:
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("name", list(rules.named))
def test_resumed_is_uninterrupted(name):
    optimizer = door.from_rule(rules.named[name])()
    blank = jax.tree.map(jnp.zeros_like, PARAMS), optimizer.init(PARAMS)
    taken = door.snapshot(*advanced(optimizer, PARAMS, blank[1], GIVEN[:5]))
    assert list(taken.entries) == ["layer.0.bias", "layer.0.weight", "scale"]
    entry = taken.entries["layer.0.weight"]
    assert (taken.updates, entry.step, entry.rule) == (5, 5, name)
    assert entry.hyper == rules.named[name].complete({})
    assert set(entry.state) == set(rules.named[name].state)
    again = door.restored(*blank, taken)
    found = advanced(optimizer, *again, GIVEN[5:])
    expected = advanced(optimizer, PARAMS, blank[1], GIVEN)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("wrap", [
    lambda o: optax.chain(optax.clip_by_global_norm(1.0), o),
    lambda o: optax.masked(o, {"scale": False, "layer": True}),
    lambda o: optax.multi_transform({"a": o, "b": door.gradient_descent(0.1)}, {"scale": "b", "layer": "a"}),
])  # fmt: skip
def test_within_optax_s_wrappers(wrap):
    optimizer = wrap(door.adam(0.1 * schedules.linear(20)))
    start = optimizer.init(PARAMS)
    half = advanced(optimizer, PARAMS, start, GIVEN[:5])
    again = door.restored(half[0], start, door.snapshot(*half))
    for x, y in zip(jax.tree.leaves(again), jax.tree.leaves(half), strict=True):
        np.testing.assert_array_equal(x, y)
    assert jax.tree.structure(again) == jax.tree.structure(half)


def test_the_schedule_goes_on_at_its_place():
    optimizer = door.momentum(0.1 * schedules.cosine(10))
    half = advanced(optimizer, PARAMS, optimizer.init(PARAMS), GIVEN[:5])
    taken = door.snapshot(*half)
    assert "lr" not in taken.entries["scale"].hyper
    _, state = door.restored(PARAMS, optimizer.init(PARAMS), taken)
    assert int(state.count) == 5


def test_types_and_places_are_those_of_the_state():
    optimizer = door.adam(0.1, mu_dtype="bfloat16")
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    state = optimizer.init(params)
    again = door.restored(params, state, door.snapshot(params, state))
    assert [x.dtype for x in jax.tree.leaves(again)] == [x.dtype for x in jax.tree.leaves((params, state))]
    assert door.snapshot(params, state).entries["scale"].value.dtype == jnp.bfloat16


def changed(**entry):
    state = door.adam(0.1).init(PARAMS)
    taken = door.snapshot(PARAMS, state)
    one = replace(taken.entries["scale"], **entry)
    return lambda: door.restored(PARAMS, state, Snapshot({**taken.entries, "scale": one}, taken.updates))


def test_what_a_snapshot_refuses():
    adam = door.adam(0.1)
    state = adam.init(PARAMS)
    taken = door.snapshot(PARAMS, state)
    cases = [
        (changed(rule="yogi", formula=""), CheckpointError, "its rule is yogi; this optimizer's is adam"),
        (changed(value=np.ones(3, np.float32)), CheckpointError, "'scale': it has shape (3,); the optimizer's has ()"),
        (changed(step=3), CheckpointError, "its parameters have had [0, 3] steps in 0 updates"),
        (changed(hyper={"lr": 0.5}), CheckpointError, "'scale': its lr is 0.5; this transformation was made with 0.1"),
        (lambda: door.restored(PARAMS, state, Snapshot({}, 0)), CheckpointError, "is missing"),
        (lambda: door.snapshot(PARAMS, optax.adam(0.1).init(PARAMS)), TypeError, "of stepwell.jax alone; got one with"),
        (lambda: door.snapshot({"w": jnp.ones(2)}, state), ValueError, "got none named 'layer.0.bias'"),
        (
            lambda: door.snapshot({"a.b": 1.0, "a": {"b": 1.0}}, state),
            ValueError,
            "two parameters are both named 'a.b'",
        ),
        (lambda: door.snapshot(PARAMS, (state, state)), ValueError, "it holds some under two rules"),
        (lambda: door.snapshot(PARAMS, (door.sgd(1).init(PARAMS),) * 2), ValueError, "at most one rule without state"),
    ]
    for act, kind, message in cases:
        with pytest.raises(kind, match=re.escape(message)):
            act()
    assert len(taken.entries) == 3


def test_the_file_of_a_checkpoint(tmp_path):
    from stepwell import checkpoint

    optimizer = door.nadam(0.1)
    params, state = advanced(optimizer, PARAMS, optimizer.init(PARAMS), GIVEN[:3])
    checkpoint.save(tmp_path / "run.safetensors", state, params, extra={"epoch": 2})
    blank = jax.tree.map(jnp.zeros_like, params)
    again, restored, extra = checkpoint.load(tmp_path / "run.safetensors", optimizer.init(blank), blank)
    assert extra == {"epoch": 2}
    for x, y in zip(jax.tree.leaves((again, restored)), jax.tree.leaves((params, state)), strict=True):
        np.testing.assert_array_equal(x, y)
    assert len(train(optimizer, again, GIVEN[:1])) == 1
