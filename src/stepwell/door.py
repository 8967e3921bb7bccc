"""What every door derives from a rule: its class's name and the signature of its constructor."""

import inspect
from collections.abc import Mapping
from typing import Any

from stepwell.rule import Rule


def class_name(rule: Rule) -> str:
    """A rule's name as classes are named.

    >>> from stepwell import rules
    >>> class_name(rules.rmsprop_centered)
    'RmspropCentered'
    """
    return "".join(word.capitalize() for word in rule.name.split("_"))


def signature(rule: Rule, options: Mapping[str, Any]) -> inspect.Signature:
    """`(params, hyperparameters…, weight_decay, *, options…)`; a rule with a decay of its own keeps it in its place."""
    kind = inspect.Parameter
    hypers = sorted(rule.hyperparameters.values(), key=lambda h: h.default is not None)
    found = [kind("params", kind.POSITIONAL_OR_KEYWORD)]
    for hyper in hypers:
        default = kind.empty if hyper.default is None else hyper.default
        found.append(kind(hyper.name, kind.POSITIONAL_OR_KEYWORD, default=default))
    if "weight_decay" not in rule.hyperparameters:
        found.append(kind("weight_decay", kind.POSITIONAL_OR_KEYWORD, default=0.0))
    return inspect.Signature([*found, *(kind(k, kind.KEYWORD_ONLY, default=v) for k, v in options.items())])
