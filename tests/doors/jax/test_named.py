"""optax's names: its arguments and defaults, and its numbers over 50 steps with every option."""

import functools
import inspect
from typing import Any

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.jax as door
from stepwell import rules, schedules
from stepwell.jax import named
from tests.doors.jax.harness import distance, gradients, parameters, train

NAMES = [name for name in door.__all__ if hasattr(optax, name) and name != "snapshot"]
PRECISION = {"float32": 4e-6, "float64": 1e-12}
HALF = 2e-2  # what bfloat16 leaves of a mean
given_in = functools.cache(gradients)  # they never change, and take as long to make as an optimizer to train


def only_matrices(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.ndim > 1, tree)


VALUES: dict[str, list[Any]] = {
    "learning_rate": [0.3, optax.linear_schedule(0.1, 0.01, 40), 0.1 * schedules.cosine(40, end=0.1)],
    "momentum": [0.7], "decay": [0.6], "rho": [0.6], "b1": [0.5], "b2": [0.7], "eps": [1e-2], "eps_root": [1e-2],
    "initial_accumulator_value": [0.0, 0.5], "initial_scale": [0.5], "threshold": [6.0],
    "weight_decay": [0.1, optax.linear_schedule(0.1, 0.0, 40)],
    "mask": [only_matrices], "weight_decay_mask": [only_matrices],
}  # fmt: skip


def options(name: str) -> dict[str, list[Any]]:
    """The values that each argument is tried at."""
    found = {}
    for key, parameter in inspect.signature(getattr(optax, name)).parameters.items():
        flag = isinstance(parameter.default, bool)
        found[key] = [not parameter.default] if flag else VALUES.get(key, [])
    return found


def base(name: str) -> dict[str, Any]:
    """What must stand beside an option for it to mean something."""
    chosen: dict[str, Any] = {"learning_rate": 0.1}
    if "weight_decay" in options(name):
        chosen["weight_decay"] = 0.1
    return chosen


def cases() -> list[Any]:
    found = []
    for name in NAMES:
        found.append(pytest.param(name, base(name), id=f"{name}"))
        for key, values in options(name).items():
            for i, value in enumerate(values):
                extra = {"momentum": 0.9} if key == "nesterov" and "momentum" in options(name) else {}
                found.append(pytest.param(name, base(name) | extra | {key: value}, id=f"{name}-{key}-{i}"))
    return found


@functools.cache
def theirs(name: str, chosen: tuple[tuple[str, Any], ...]) -> list[Any]:
    """optax in double precision, since in single precision its 1 - β^t is off by 1e-4: see docs/doors/jax.md."""
    with jax.enable_x64(True):
        return train(getattr(optax, name)(**dict(chosen)), parameters("float64"), given_in("float64"))


def difference(name: str, chosen: dict[str, Any], dtype: str, wrong: dict[str, Any] | None = None) -> float:
    with jax.enable_x64(dtype == "float64"):
        optimizer = getattr(door, name)(**(chosen if wrong is None else wrong))
        mine = train(optimizer, parameters(dtype), given_in(dtype))
    assert {x.dtype.name for x in jax.tree.leaves(mine)} == {dtype}
    return distance(mine, theirs(name, tuple(chosen.items())))


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize(("name", "chosen"), cases())
def test_numbers_are_those_of_optax(name, chosen, dtype):
    assert difference(name, chosen, dtype) <= PRECISION[dtype]


@pytest.mark.parametrize("name", [name for name in NAMES if any(key.endswith("_dtype") for key in options(name))])
def test_a_mean_may_be_kept_in_another_type(name):
    key = next(key for key in options(name) if key.endswith("_dtype"))
    chosen = base(name) | {key: "bfloat16"} | ({"momentum": 0.9} if name == "sgd" else {})
    params, (g, *_) = parameters("float32"), given_in("float32")
    ours, peers = (getattr(module, name)(**chosen) for module in (door, optax))
    updates, state = ours.update(g, ours.init(params), params)
    expected, peer = peers.update(g, peers.init(params), params)
    for found, known in ((updates, expected), (state, peer)):
        for x, y in zip(jax.tree.leaves(found)[-len(jax.tree.leaves(known)) :], jax.tree.leaves(known), strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(np.float32(x), np.float32(y), rtol=HALF)


@st.composite
def drawn(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Any combination of options."""
    values = {key: values for key, values in options(name).items() if values}
    chosen = base(name) | {key: draw(st.sampled_from(v)) for key, v in values.items() if draw(st.booleans())}
    if chosen.get("centered") and chosen.get("bias_correction"):
        del chosen["centered"]
    return chosen


@pytest.mark.parametrize("name", NAMES)
def test_any_options_together(name):
    @settings(max_examples=3)
    @given(drawn(name))
    def check(chosen):
        assert difference(name, chosen, "float64") <= PRECISION["float64"]

    check()


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_those_of_optax(name):
    def said(function: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert said(getattr(door, name)) == said(getattr(optax, name))
    assert f"optax.{name}" in getattr(door, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_the_state_has_optax_s_names(name):
    """`optax.tree.get(state, "mu")` finds the same array."""
    params, (g, *_) = parameters("float32"), given_in("float32")
    states = [
        make.update(g, make.init(params), params)[1] for make in (getattr(m, name)(**base(name)) for m in (optax, door))
    ]
    for field in {"mu", "nu", "nu_max", "trace", "e_g", "e_x", "sum_of_squares"}:
        theirs, mine = (optax.tree.get_all_with_path(state, field) for state in states)
        assert len(mine) == len(theirs), field
        for (_, a), (_, b) in zip(mine, theirs, strict=True):
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4), a, b)


def test_every_rule_is_here_under_one_name_or_another():
    assert set(rules.named) <= set(door.__all__)
    for name in rules.named:
        made = getattr(door, name)
        assert made is getattr(named, name) if hasattr(optax, name) else made is door.from_rule(rules.named[name])
    with pytest.raises(AttributeError, match="has no attribute 'adamant'"):
        _ = door.adamant


WRONG: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sgd", {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}),
    ("sgd", {}, {"momentum": 0.0, "learning_rate": 0.11}),
    ("adam", {}, {"eps_root": 1e-8}),
    ("adam", {}, {"nesterov": True}),
    ("adam", {"eps": 1e-3}, {"eps": 1.1e-3}),
    ("adamw", {"weight_decay": 0.1}, {"weight_decay": 0.1, "mask": only_matrices}),
    ("adamw", {"weight_decay": 0.1}, {"weight_decay": 0.0}),
    ("adagrad", {}, {"initial_accumulator_value": 0.0}),
    ("rmsprop", {"eps": 1e-3}, {"eps": 1e-3, "eps_in_sqrt": False}),
    ("rmsprop", {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}),
    ("rmsprop", {}, {"bias_correction": True}),
    ("radam", {}, {"threshold": 6.0}),
    ("amsgrad", {}, {"bias_correction_nu": False}),
    ("amsgrad", {}, {"bias_correction_mu": False}),
    ("adadelta", {}, {"learning_rate": None}),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
def test_a_wrong_option_is_told(name, right, wrong):
    assert difference(name, {"learning_rate": 0.1} | right, "float32") <= PRECISION["float32"]
    assert difference(name, {"learning_rate": 0.1} | right, "float64", {"learning_rate": 0.1} | wrong) > 1e-9


def test_adadelta_without_a_rate_ascends_as_optax_has_it():
    assert difference("adadelta", {}, "float64") <= 1e-12


def test_adagrad_without_epsilon_leaves_what_has_no_gradient():
    params, zero = parameters("float32"), jax.tree.map(np.zeros_like, parameters("float32"))
    optimizer = door.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)
    updates, _ = optimizer.update(zero, optimizer.init(params))
    assert all(np.array_equal(u, z) for u, z in zip(jax.tree.leaves(updates), jax.tree.leaves(zero), strict=True))
