"""The suite that the library offers for others' rules, over its own."""

from collections.abc import Sequence

from stepwell import rules
from stepwell.door import class_name
from stepwell.rule import Rule
from stepwell.testing import LIMITS, RuleTestCase

WIDER = {"float32": 2 * LIMITS["float32"], "float64": LIMITS["float64"]}  # of s - a², digits are lost
OF_EACH_FAMILY = list({r.__module__: r for r in rules.named.values() if ".forms." not in r.__module__}.values())
"""The last rule of each family, which is the richest."""


def suites(given: Sequence[Rule], doors: Sequence[str]) -> dict[str, type[RuleTestCase]]:
    """A test class for each rule, by its name."""
    found = {}
    for rule in given:
        limits = WIDER if "centered" in rule.name else LIMITS
        name = f"Test{class_name(rule)}"
        found[name] = type(name, (RuleTestCase,), {"rule": rule, "limits": limits, "doors": doors})
    return found
