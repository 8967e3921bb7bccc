"""An optax transformation from any rule, the user's own too, under the rule's own names."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import optax

from stepwell import door
from stepwell.jax.dtypes import floating
from stepwell.jax.transformation import transformation
from stepwell.rule import Rule


@functools.cache
def from_rule(rule: Rule) -> Callable[..., optax.GradientTransformationExtraArgs]:
    """The function that makes transformations of a rule: `from_rule(rule)(lr=…)` is an optax.GradientTransformation.

    Its arguments are the rule's hyperparameters, with their defaults and domains, each a number, an array without axes
    (a traced one too), or a function of the count of updates, such as a schedule; then

    - `state_dtype`: the type in which state is kept; None, the default, is the parameter's;
    - `weight_decay_mask`, for a rule that has a weight_decay: a tree of booleans, or a function that makes one of the
      parameters: which of them decay.

    Errors: TypeError for what is no rule; TypeError and ValueError for a hyperparameter outside its domain.

        >>> import jax.numpy as jnp
        >>> from stepwell.rule import rule, sign, Rate
        >>> @rule
        ... def sign_descent(g, *, lr: Rate = 0.1):
        ...     return lr * sign(g)
        >>> descent = from_rule(sign_descent)(lr=0.25)
        >>> updates, state = descent.update(jnp.array([3.0, -0.5]), descent.init(jnp.array([1.0, -1.0])))
        >>> updates.tolist(), int(state.count)
        ([-0.25, 0.25], 1)
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be made by @stepwell.rule.rule; got {rule!r}")
    signature = _signature(rule)

    def make(*args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        dtype = floating("state_dtype", bound.arguments["state_dtype"])
        mask = bound.arguments.get("weight_decay_mask")
        return transformation(rule, bound.arguments, dtypes=dict.fromkeys(rule.state, dtype), mask=mask)

    make.__name__ = make.__qualname__ = rule.name
    make.__doc__, make.__module__ = rule.__doc__, "stepwell.jax"
    make.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return make


def _signature(rule: Rule) -> inspect.Signature:
    options = ["state_dtype", *(["weight_decay_mask"] if "weight_decay" in rule.hyperparameters else [])]
    only = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [*door.hyperparameters(rule), *(inspect.Parameter(o, only, default=None) for o in options)]
    )
