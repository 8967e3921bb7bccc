# pyright: reportMissingImports=false
"""What constructors are given, checked against the domains of rules."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import paddle
from paddle.regularizer import WeightDecayRegularizer

from stepwell.domain import NonNegative, check
from stepwell.rule import Rule


def within(rule: Rule, values: Mapping[str, Any], called: Mapping[str, str] | None = None) -> dict[str, float]:
    """Hyperparameters as floats, each inside its domain.

    Args:
        rule: whose they are.
        values: by the rule's names.
        called: what an error calls them, where that is another name.

    Raises:
        TypeError, ValueError: one that is no number, or outside its domain.
    """
    return {
        name: rule.hyperparameters[name].domain.check((called or {}).get(name, name), value)
        for name, value in values.items()
    }


def listed(parameters: Any) -> tuple[Any, list[dict[str, Any]]]:
    """`parameters` as a list of tensors, or of groups that may be changed; and the groups."""
    if parameters is None or isinstance(parameters, (paddle.Tensor, dict)):
        return parameters, []  # Paddle's own constructor says what is wrong with it
    found = [dict(each) if isinstance(each, dict) else each for each in parameters]
    return found, [each for each in found if isinstance(each, dict)]


def decay(weight_decay: Any) -> Any:
    """`weight_decay` as Paddle takes it: a float, one of its regularizers, or None."""
    if weight_decay is None or isinstance(weight_decay, WeightDecayRegularizer):
        return weight_decay
    return check(NonNegative, "weight_decay", weight_decay)


def refuse_others(group: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a group of parameters with an entry of no meaning."""
    if others := [name for name in group if name not in known]:
        raise ValueError(f"a group of parameters may have {', '.join(sorted(known))}; got {others[0]!r}")


def refuse_twins(params: Iterable[Any]) -> None:
    """Refuse a parameter that was given twice, and two of one name: state is kept by names."""
    seen: dict[str, Any] = {}
    for p in params:
        if p.name in seen:
            what = "twice; each tensor may be given once"
            if seen[p.name] is not p:
                what = "and another tensor of that name, by which state is kept; give each a name of its own"
            raise ValueError(f"parameters holds {p.name} {what}")
        seen[p.name] = p
