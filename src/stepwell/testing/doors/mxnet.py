"""How the door of MXNet trains."""
# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import Training
from stepwell.testing.trial import Arrays


class Here(Training):
    """Parameters of Gluon, and their trainer."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.mxnet import from_rule

        from mxnet import gluon, nd  # isort: skip

        self.params = {}
        for name, x in arrays.items():
            self.params[name] = gluon.Parameter(name, shape=x.shape, dtype=x.dtype)
            self.params[name].initialize()
            self.params[name].set_data(nd.array(x, dtype=x.dtype))
        self.optimizer = from_rule(rule)(**hyper)
        self.trainer = gluon.Trainer(self.params, self.optimizer)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        from mxnet import nd

        for name, g in gradients.items():
            if g is not None:
                self.params[name].grad()[:] = nd.array(g, dtype=g.dtype)
            self.params[name].data()._fresh_grad = g is not None  # as a backward pass says that it was there
        self.trainer.step(1, ignore_stale_grad=True)

    def arrays(self) -> Arrays:
        return {name: p.data().asnumpy() for name, p in self.params.items()}

    def saved(self) -> Any:
        return self.trainer._updaters[0].get_states(dump_optimizer=False)

    def restore(self, saved: Any) -> None:
        self.trainer._updaters[0].set_states(saved)
