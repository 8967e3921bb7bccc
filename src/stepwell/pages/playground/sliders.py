"""Where a hyperparameter's slider begins and ends: from its domain and its default alone.

A slider is a plain dictionary that the page reads. On a "log" slider the value is origin + sign·10ˢ at the position s;
`left` and `right` are its ends, and at `exact`, if it has one, the value is the origin itself. A "linear" one has the
value for its position.
"""

import math
from typing import Any

from stepwell.domain import Domain, Rate, domain_of
from stepwell.rule import Hyperparameter

FAR = 1e6  # what holds this has no bound for a slider
DECADES = 5  # from a bound that a share of 1 can come near


def slider(hyper: Hyperparameter) -> dict[str, Any]:
    """The slider of a hyperparameter.

    >>> from stepwell import rules
    >>> slider(rules.adam.hyperparameters["lr"])
    {'kind': 'log', 'origin': 0.0, 'sign': 1, 'left': -6.0, 'right': 1.0, 'exact': None}
    >>> slider(rules.adam.hyperparameters["beta1"])
    {'kind': 'log', 'origin': 1.0, 'sign': -1, 'left': 0.0, 'right': -5.0, 'exact': None}
    """
    low, high = bounds(hyper.domain)
    middle = default(hyper)
    if math.isfinite(low["at"]) and math.isfinite(high["at"]):
        left = math.log10(high["at"] - low["at"])
        return _log(high, -1, left, left - DECADES, "right")
    if math.isfinite(low["at"]):
        decade = math.floor(math.log10(middle - low["at"])) if middle > low["at"] else -2.0
        if hyper.domain == domain_of(Rate):
            return {**_log(low, 1, decade - 3.0, max(decade + 3.0, 1.0), "left"), "exact": None}
        return _log(low, 1, decade - 4.0, max(decade + 2.0, 0.0), "left")
    reach = max(1.0, abs(middle))
    return {"kind": "linear", "left": middle - reach, "right": middle + reach}


def default(hyper: Hyperparameter) -> float:
    """The default of a hyperparameter, or what its domain has for an example where the user must give one."""
    return float(hyper.default if hyper.default is not None else hyper.domain.example or 0.0)


def bounds(domain: Domain) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where a domain, an interval, begins and ends: `at`, perhaps infinite, and whether that `holds` itself.

    >>> bounds(domain_of(Rate))
    ({'at': 0.0, 'holds': True}, {'at': inf, 'holds': False})
    """
    inside = next(x for x in (domain.example, 0.5, 1.0, 10.0, -1.0) if x is not None and domain.holds(x))
    return _bound(domain, inside, -FAR), _bound(domain, inside, FAR)


def _bound(domain: Domain, inside: float, outside: float) -> dict[str, Any]:
    if domain.holds(outside):
        return {"at": math.copysign(math.inf, outside), "holds": False}
    for _ in range(100):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if domain.holds(middle) else (inside, middle)
    at = round(outside, 9) + 0.0
    return {"at": at, "holds": domain.holds(at)}


def _log(origin: dict[str, Any], sign: int, left: float, right: float, exact: str) -> dict[str, Any]:
    ends = {"left": float(left), "right": float(right)}
    return {
        "kind": "log",
        "origin": origin["at"],
        "sign": sign,
        **ends,
        "exact": ends[exact] if origin["holds"] else None,
    }
