"""How the door of Keras trains."""
# pyright: reportMissingImports=false

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import Training
from stepwell.testing.trial import Arrays


class Here(Training):
    """Variables of Keras, on its backend. Where no variable has a gradient, there is no step."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.keras import from_rule

        import keras  # isort: skip

        self.wide = any(x.dtype == np.float64 for x in arrays.values())
        with self._precision():
            self.params = {
                name: keras.Variable(np.array(x), dtype=x.dtype.name, name=name.replace("/", "."))
                for name, x in arrays.items()
            }
            called = {"lr": "learning_rate"}
            self.optimizer = from_rule(rule)(**{called.get(name, name): x for name, x in hyper.items()})
            self.optimizer.build(list(self.params.values()))

    @classmethod
    def label(cls) -> str:
        import keras

        return keras.config.backend()

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        """Double precision, for which JAX must be asked; and Keras's warning of its own variables is left out."""
        import keras

        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            if keras.config.backend() == "jax":
                import jax

                stack.enter_context(jax.enable_x64(self.wide))
            yield

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import keras

        with self._precision():
            there = {name: keras.ops.convert_to_tensor(g) for name, g in gradients.items() if g is not None}
            if there:
                self.optimizer.apply(list(there.values()), [self.params[name] for name in there])

    def arrays(self) -> Arrays:
        with self._precision():
            return {name: _of_keras(p) for name, p in self.params.items()}

    def saved(self) -> Any:
        store: dict[str, Any] = {}
        with self._precision():
            self.optimizer.save_own_variables(store)
            return {key: _of_keras(x) for key, x in store.items()}

    def restore(self, saved: Any) -> None:
        with self._precision():
            self.optimizer.load_own_variables(saved)

    def save(self, path: Any, names: Any = None) -> None:
        with self._precision():
            super().save(path, names)

    def load(self, path: Any, names: Any = None) -> None:
        with self._precision():
            super().load(path, names)


def _of_keras(variable: Any) -> np.ndarray:
    import keras

    return np.array(keras.ops.convert_to_numpy(variable))
