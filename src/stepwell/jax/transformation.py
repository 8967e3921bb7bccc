"""A rule as an optax.GradientTransformation: what is the same for optax's names and for the rules' own."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from stepwell.jax import hyper as hypers
from stepwell.jax.dtypes import real
from stepwell.jax.state import RuleState, state_type
from stepwell.jax.step import compiled
from stepwell.kernels.trace import updates
from stepwell.rule import Rule


def transformation(
    rule: Rule,
    given: Mapping[str, Any],
    *,
    called: Callable[[str], str] = str,
    fields: Mapping[str, str] | None = None,
    dtypes: Mapping[str, Any] | None = None,
    starts: Mapping[str, Any] | None = None,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation of gradients into updates that `rule` describes.

    Args:
        rule: the rule.
        given: its hyperparameters: numbers, arrays without axes, or functions of the count of updates.
        called: what errors call a hyperparameter.
        fields: what the fields of the state are called, where it is not as the rule has it.
        dtypes: the types that states are kept in, where it is not the parameter's.
        starts: where states start, where it is not where the rule says: numbers, or arrays without axes.
        mask: a tree of booleans that begins as the parameters do, or a function that makes one of them: which of them
            decay, for a rule that has a weight_decay.

    Raises:
        TypeError, ValueError: a hyperparameter outside its domain.
    """
    hyper = hypers.read(rule, given, called)
    named = {name: (fields or {}).get(name, name) for name in rule.state}
    named = {name: f"{field}_" if field == "count" else field for name, field in named.items()}
    kind = state_type(rule, tuple(named.items()), tuple(hyper.fixed.items()))
    dtypes, starts = dtypes or {}, {**_starts(rule, given), **(starts or {})}

    def init(params: Any) -> RuleState:
        trees = [_beside(rule, params, name, starts[name], dtypes.get(name)) for name in rule.state]
        return kind(jnp.zeros([], jnp.int32), *trees)

    def update(updates: Any, state: Any, params: Any = None, **_: Any) -> tuple[Any, RuleState]:
        if params is None and rule.reads_parameter:
            raise ValueError(
                f"{rule.name} reads the parameters: call update(gradients, state, params); got params=None"
            )
        count: Any = optax.safe_increment(state.count)
        scalars = {**hyper.at(state.count), "t": count}
        leaves, structure = jax.tree.flatten(updates, is_leaf=_is_none)
        columns = {name: structure.flatten_up_to(tree) for name, tree in state.arrays.items()}
        if rule.reads_parameter:
            columns["p"] = structure.flatten_up_to(params)
        decays = _decays(mask, updates, len(leaves))
        done = [
            _leaf(rule, hyper, scalars, g, {name: column[i] for name, column in columns.items()}, decays[i])
            for i, g in enumerate(leaves)
        ]
        trees = [structure.unflatten([new[name] for _, new in done]) for name in rule.state]
        return structure.unflatten([change for change, _ in done]), kind(count, *trees)

    return optax.GradientTransformationExtraArgs(init, update)


def _leaf(
    rule: Rule, hyper: hypers.Hyper, scalars: Mapping[str, Any], g: Any, others: Mapping[str, Any], decays: bool
) -> tuple[Any, Mapping[str, Any]]:
    if g is None:
        return None, others
    arrays = {name: real(x) for name, x in {"g": g, **others}.items()}
    fixed, moving = dict(hyper.fixed), dict(scalars)
    if not decays:
        moving.pop("weight_decay", None)
        fixed["weight_decay"] = 0.0
    moving = {name: _strong(x) for name, x in moving.items()}
    with jax.enable_x64(True):  # for the scalars: no array is wider for it
        return compiled(rule, tuple(fixed.items()))(arrays, moving)


def _strong(x: Any) -> Any:
    """A scalar as it is, but a traced number of Python's with a type that does not follow `enable_x64`."""
    return jnp.asarray(x, x.dtype) if getattr(x, "weak_type", False) else x


def _starts(rule: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[start] if isinstance(start, str) else start for name, start in rule.start.items()}


def _beside(rule: Rule, params: Any, name: str, start: Any, dtype: Any) -> Any:
    """A new state beside the parameters."""
    if name in updates(rule).scalar_state:
        return jax.tree.map(lambda p: jnp.full((), start, float), params)

    def of(p: Any) -> Any:
        p = real(p)
        shape = updates(rule).shape_of(name, p.shape)
        return jnp.full_like(p, start, dtype) if shape == p.shape else jnp.full(shape, start, dtype or p.dtype)

    return jax.tree.map(of, params)


def _decays(mask: Any, updates: Any, count: int) -> list[bool]:
    """Whether each leaf decays."""
    if mask is None:
        return [True] * count
    flags = jax.tree.map(
        lambda flag, part: jax.tree.map(lambda _: bool(flag), part, is_leaf=_is_none),
        mask(updates) if callable(mask) else mask,
        updates,
        is_leaf=_is_none,
    )
    return jax.tree.leaves(flags)


def _is_none(x: Any) -> bool:
    return x is None
