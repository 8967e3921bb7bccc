"""How the door of NumPy trains."""
# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import Training
from stepwell.testing.trial import Arrays


class Here(Training):
    """Arrays, updated in place."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.numpy import from_rule

        self.optimizer = from_rule(rule)({name: np.array(x) for name, x in arrays.items()}, **hyper)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        self.optimizer.step(gradients)

    def arrays(self) -> Arrays:
        return {name: np.array(x) for name, x in self.optimizer.params.items()}

    def saved(self) -> Any:
        return self.optimizer.state_dict()

    def restore(self, saved: Any) -> None:
        self.optimizer.load_state_dict(saved)
