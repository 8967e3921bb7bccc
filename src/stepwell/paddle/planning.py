# pyright: reportMissingImports=false
"""From a group's parameters and gradients to its plan, which is kept while nothing that it was made from changes."""

from functools import cache
from typing import TYPE_CHECKING, Any

from stepwell.kernels import Stages
from stepwell.paddle import gradients
from stepwell.paddle.gradients import Pair
from stepwell.paddle.plan import Plan, Scalars

if TYPE_CHECKING:
    from stepwell.paddle.groups import Group
    from stepwell.paddle.optimizer import Optimizer


def planned(
    optimizer: "Optimizer", k: int, group: "Group | None", pairs: list[Pair]
) -> tuple[Plan, list[Any], list[int], bool]:
    """What `Plan.run` wants for the k-th group: its plan and gradients, how far ahead each step is, and the mode.

    Gradients are clipped and decayed here as far as that is Paddle's to do.
    """
    optimizer._turn_to(group)
    params = [p for p, _ in pairs]
    l2, others = gradients.decays(map(optimizer._regularizer, params))
    clip = optimizer._grad_clip if group is None else group["grad_clip"]
    sparse = any(g.is_selected_rows() for _, g in pairs)
    pairs, factors = gradients.clipped(clip, pairs, fuse=not sparse and not any(others))
    plan = _plan(optimizer, k, params, l2, None if factors is None else clip)
    plan.set(optimizer._lr(), optimizer._gradient_scale(), factors or ())
    grads, ahead = [g for _, g in pairs], [0] * len(pairs)
    if sparse:
        ahead = [optimizer._ahead(g) for g in grads]
        grads = [gradients.dense(p, g) if decay else g for p, g, decay in zip(params, grads, l2, strict=True)]
    if any(others):
        grads = [gradients.regularized(optimizer, *each) for each in zip(params, grads, others, strict=True)]
    if any(others) or (clip is not None and factors is None):  # a class of the user's may have made them
        gradients.refuse_odd(list(zip(params, grads, strict=True)))
    return plan, grads, ahead, optimizer._sparse() == "lazy"


def _plan(optimizer: "Optimizer", k: int, params: list[Any], l2: list[float], clip: Any) -> Plan:
    """The k-th group's plan: the one it had, if that still holds.

    Args:
        k: which group.
        params: its parameters that have gradients.
        l2: the decay of each.
        clip: what gives factors on their gradients, or None.
    """
    rule, hyper, scale = optimizer._rule(), optimizer._hyper(), optimizer._gradient_scale()
    rates, own = list(map(optimizer._factor, params)), list(map(optimizer._single, params))
    clips, masters = gradients.places(clip, params), optimizer._multi_precision
    signature = [rule, hyper, scale != 1.0, list(map(id, params)), masters, rates, own, l2, clips]
    old = optimizer._plans.get(k)
    if old is not None and old[0] == signature and old[1].holds():
        return old[1]
    if "lr" in rule.hyperparameters:
        hyper = {**hyper, "lr": 0.0}
    known: dict[Any, Scalars] = {}
    scalars = []
    for rate, (factor, extra), decay, place in zip(rates, own, l2, clips, strict=True):
        key = rate * factor, *extra.values(), decay, place
        if key not in known:
            stages = _stages(scale=place is not None or scale != 1.0, decay=decay != 0.0)
            known[key] = Scalars(stages, {**hyper, **extra, "l2_decay": decay}, rate * factor, place)
        scalars.append(known[key])
    plan = Plan([optimizer._entry(p, rule) for p in params], scalars, optimizer._engines)
    optimizer._plans[k] = signature, plan
    return plan


_stages = cache(Stages)
