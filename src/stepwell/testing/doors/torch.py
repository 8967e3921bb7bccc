"""How the door of torch trains."""
# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import Training
from stepwell.testing.trial import Arrays


class Here(Training):
    """Parameters, each with its gradient."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.torch import from_rule  # before torch: it says what to install

        import torch  # isort: skip

        self.params = {name: torch.nn.Parameter(torch.from_numpy(np.array(x))) for name, x in arrays.items()}
        self.optimizer = from_rule(rule)(list(self.params.values()), **hyper)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import torch

        for name, g in gradients.items():
            self.params[name].grad = None if g is None else torch.from_numpy(np.array(g))
        self.optimizer.step()

    def arrays(self) -> Arrays:
        return {name: p.detach().numpy().copy() for name, p in self.params.items()}

    def saved(self) -> Any:
        return self.optimizer.state_dict()

    def restore(self, saved: Any) -> None:
        self.optimizer.load_state_dict(saved)
