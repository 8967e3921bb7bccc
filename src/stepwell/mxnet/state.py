"""What an optimizer keeps of a parameter, between steps and in files."""

from typing import Any

from stepwell.rule import Rule

State = dict[str, Any]
"""The state arrays under the rule's own names, as NumPy's; `step`, the updates so far; perhaps MASTER."""

MASTER = "master"
"""The float32 copy of a parameter of float16, which is the one that is trained."""


def refuse_other(name: str, rule: Rule, state: Any) -> None:
    """Refuse a state that is not the rule's."""
    wanted = {*rule.state, "step"}
    if not isinstance(state, dict) or set(state) - {MASTER} != wanted:
        found = ", ".join(state) if isinstance(state, dict) else type(state).__name__
        raise ValueError(
            f"the state of {name} must be that of {rule.name}, with {', '.join(sorted(wanted))}; got {found}: options "
            "that choose an optimizer's rule cannot change while it trains, nor can it take over MXNet's own state"
        )
