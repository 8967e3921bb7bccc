"""How the door of Paddle trains."""
# pyright: reportMissingImports=false

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import Training
from stepwell.testing.trial import Arrays


class Here(Training):
    """Parameters, each with its gradient."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it wants a ccache
            from stepwell.paddle import from_rule

            import paddle  # isort: skip

        unique = paddle.utils.unique_name  # names begin anew, as in a new process: saved state is found by them
        self.names, _ = unique.switch(*unique.switch())
        self.params = {}
        with unique.guard(self.names):
            for name, x in arrays.items():
                self.params[name] = paddle.create_parameter(list(x.shape), x.dtype.name)
                self.params[name].set_value(np.array(x))
        given = {name: x for name, x in hyper.items() if name != "lr"}
        rate = {"learning_rate": hyper["lr"]} if "lr" in hyper else {}
        self.optimizer = from_rule(rule)(**rate, parameters=list(self.params.values()), **given)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import paddle

        for name, g in gradients.items():
            self.params[name].clear_gradient(False)
            if g is not None:
                self.params[name].grad = paddle.to_tensor(np.array(g))
        with paddle.utils.unique_name.guard(self.names):
            self.optimizer.step()

    def arrays(self) -> Arrays:
        return {name: np.array(p.numpy()) for name, p in self.params.items()}

    def saved(self) -> Any:
        return copy.deepcopy(self.optimizer.state_dict())

    def restore(self, saved: Any) -> None:
        import paddle

        with paddle.utils.unique_name.guard(self.names):
            self.optimizer.set_state_dict(saved)
