"""How the door of JAX trains."""
# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import Training
from stepwell.testing.trial import Arrays


class Here(Training):
    """A tree of arrays; every step is compiled. Where no parameter has a gradient, there is no step."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.jax import from_rule

        import jax  # isort: skip
        import optax

        self.wide = any(x.dtype == np.float64 for x in arrays.values())
        made = from_rule(rule)(**hyper)

        def step(params: Any, state: Any, gradients: Any) -> Any:
            updates, state = made.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        self.compiled = jax.jit(step)
        with jax.enable_x64(self.wide):
            self.params = {name: jax.numpy.asarray(x) for name, x in arrays.items()}
            self.optimizer = made.init(self.params)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import jax

        if any(g is not None for g in gradients.values()):
            with jax.enable_x64(self.wide):
                self.params, self.optimizer = self.compiled(self.params, self.optimizer, dict(gradients))

    def arrays(self) -> Arrays:
        return {name: np.array(x) for name, x in self.params.items()}

    def saved(self) -> Any:
        import jax

        return jax.tree.map(np.array, self.optimizer)

    def restore(self, saved: Any) -> None:
        import jax

        with jax.enable_x64(self.wide):
            self.optimizer = jax.tree.map(jax.numpy.asarray, saved)

    def load(self, path: Any, names: Any = None) -> None:
        import jax

        from stepwell import checkpoint

        with jax.enable_x64(self.wide):
            self.params, self.optimizer, _ = checkpoint.load(path, self.optimizer, self.params, names=names)
