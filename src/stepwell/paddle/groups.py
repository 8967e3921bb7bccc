# pyright: reportMissingImports=false
"""What an optimizer's class says of the rule, the hyperparameters and the parameters of each group."""

from collections.abc import Mapping
from typing import Any

import paddle

from stepwell.paddle.entry import Entry
from stepwell.rule import Rule

Group = dict[str, Any]
_PLAIN: tuple[float, dict[str, float]] = 1.0, {}


class Grouped(paddle.optimizer.Optimizer):
    """A paddle.optimizer.Optimizer whose groups each have a rule and its hyperparameters.

    A subclass gives `_rule`, `_hyper`, `_set_hyper` and `_made`, for the group that `_turn_to` was told of last.
    """

    def _rule(self) -> Rule:
        """The rule of the group."""
        raise NotImplementedError

    def _hyper(self) -> dict[str, float]:
        """Its hyperparameters but for the learning rate."""
        raise NotImplementedError

    def _made(self, p: Any, rule: Rule) -> Entry:
        """What is kept beside a parameter, made anew or found in Paddle's accumulators."""
        raise NotImplementedError

    def _single(self, p: Any) -> tuple[float, dict[str, float]]:
        """A factor on this parameter's learning rate, and hyperparameters that are its own."""
        return _PLAIN

    def _regularizer(self, p: Any) -> Any:
        """What decays a parameter: its own regularizer, else the optimizer's."""
        own = getattr(p, "regularizer", None)
        return self.regularization if own is None else own

    def _gradient_scale(self) -> float:
        """A factor on every gradient of the group."""
        return 1.0

    def _sparse(self) -> str:
        """What gradients of rows mean for the group's other rows: "lazy" or "exact"."""
        return "exact"

    def _ahead(self, g: Any) -> int:
        """How far the step that the rule is told of lies ahead of the true one."""
        return 0

    def _set_hyper(self, group: Group | None, hyper: Mapping[str, float]) -> None:
        """Give a group other hyperparameters."""
        raise NotImplementedError

    def _turn_to(self, group: Group | None) -> None:
        """Let `_rule`, `_hyper` and their like speak of this group."""
        if group is not None:
            self._update_param_group({**group, "params": None})

    def _factor(self, p: Any) -> float:
        """The factor on the optimizer's learning rate that a parameter has of its own."""
        attributes = getattr(p, "optimize_attr", None)
        factor = attributes.get("learning_rate", 1.0) if attributes else 1.0
        if isinstance(factor, paddle.Tensor):
            raise TypeError(
                f"the learning rate of {p.name} must be a number, a factor on the optimizer's; got a tensor"
            )
        return factor

    def _all(self) -> list[Any]:
        return [p for _, params in self._grouped() for p in params or ()]

    def _grouped(self) -> list[tuple[Group | None, list[Any]]]:
        groups = self._param_groups
        if groups and isinstance(groups[0], dict):
            return [(group, group["params"]) for group in groups]
        return [(None, groups)]
