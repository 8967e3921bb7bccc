"""On TensorFlow all variables are stepped in one call that XLA compiles, whatever runs around it."""
# pyright: reportMissingImports=false

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from stepwell.keras.rows import changes_by_rows, merged, row_step


@functools.cache
def compiles(device: str) -> bool:
    """Whether XLA can compile for a device; the answer for a build of TensorFlow without it is no."""
    with tf.init_scope(), tf.device(device):
        try:
            tf.function(lambda x: x + 1.0, jit_compile=True)(tf.zeros(()))
        except (tf.errors.OpError, ValueError):
            return False
    return True


class Engine:
    """What runs the step."""

    def _backend_apply_gradients(self: Any, grads: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        grads = [self._ready(g, v) for g, v in zip(grads, trainable_variables, strict=True)]
        whole = super()._backend_apply_gradients  # pyright: ignore[reportAttributeAccessIssue]
        if any(isinstance(g, tf.IndexedSlices) for g in grads) or not self._can_be_fused(trainable_variables):
            whole(grads, trainable_variables)
        else:
            self._fused(whole, grads, trainable_variables)

    def _ready(self: Any, gradient: Any, variable: Any) -> Any:
        """A sparse gradient with every row once, or dense where the rule changes other rows too."""
        if not isinstance(gradient, tf.IndexedSlices):
            return gradient
        if self.gradient_accumulation_steps or not changes_by_rows(self.rule_of(), len(variable.shape), self.sparse):
            return tf.convert_to_tensor(gradient)
        return merged(gradient)

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Make one step of one variable, or of the rows that its gradient names."""
        if isinstance(gradient, tf.IndexedSlices):
            scalars = self._scalars_for(variable, learning_rate)
            row_step(self.assign, self._program, gradient, variable, self._state_of(variable), scalars)
        else:
            super().update_step(gradient, variable, learning_rate)  # pyright: ignore[reportAttributeAccessIssue]

    def _can_be_fused(self: Any, variables: Sequence[Any]) -> bool:
        devices = {v.device if isinstance(v, tf.Variable) else v.value.device for v in variables}
        alone = not tf.distribute.has_strategy() and self._distribution_strategy is tf.distribute.get_strategy()
        return alone and len(devices) == 1 and compiles(*devices)

    def _fused(self: Any, whole: Callable[..., None], grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """Clip, decay, step and average in one compiled call, which is made anew when a setting changes."""
        rate = self._learning_rate
        rate = None if isinstance(rate, keras.Variable) else tf.cast(self.learning_rate, tf.float64)
        settings = tuple(getattr(self, name) for name in self._settings)
        excluded = (
            getattr(self, "_exclude_from_weight_decay", ()),
            getattr(self, "_exclude_from_weight_decay_pattern", 0),
        )
        which = tuple(map(self._get_variable_index, variables))
        key = (settings, frozenset(excluded[0]), excluded[1], which)
        known = self.__dict__.setdefault("_compiled", {})  # not an attribute: Keras would track what it holds
        if key not in known:
            known[key] = tf.function(
                functools.partial(self._traced, whole, list(variables)), jit_compile=True, autograph=False
            )
        known[key](grads, rate)

    def _traced(self: Any, whole: Callable[..., None], variables: list[Any], grads: Sequence[Any], rate: Any) -> None:
        self.__dict__["_rate_of_call"] = rate
        try:
            whole(grads, variables)
        finally:
            del self.__dict__["_rate_of_call"]

    def _get_current_learning_rate(self: Any) -> Any:
        rate = self.__dict__.get("_rate_of_call")
        return super()._get_current_learning_rate() if rate is None else rate  # pyright: ignore[reportAttributeAccessIssue]
