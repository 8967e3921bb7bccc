"""On TensorFlow all variables are stepped in one call that XLA compiles, whatever runs around it."""
# pyright: reportMissingImports=false

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from stepwell.keras.rows import changes_by_rows, merged, row_step

PROGRAMS = 8  # that one optimizer keeps, for subsets of its variables and settings; others wait until they come twice
_tracing = threading.local()


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

    def build(self: Any, variables: list[Any]) -> None:
        """Make the state of these variables."""
        if not self.built:  # not attributes: Keras would track what they hold
            self.__dict__ |= {"_compiled": {}, "_missed": None}
            self.__dict__.pop("_home", None)
        super().build(variables)  # pyright: ignore[reportAttributeAccessIssue]

    def _backend_apply_gradients(self: Any, grads: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        grads = [self._ready(g, v) for g, v in zip(grads, trainable_variables, strict=True)]
        whole = super()._backend_apply_gradients  # pyright: ignore[reportAttributeAccessIssue]
        if any(isinstance(g, tf.IndexedSlices) for g in grads) or not self._can_be_fused():
            whole(grads, trainable_variables)
        else:
            self._fused(whole, grads, trainable_variables)

    def _ready(self: Any, gradient: Any, variable: Any) -> Any:
        """A sparse gradient with every row once, or dense where the rule changes other rows too."""
        if not isinstance(gradient, tf.IndexedSlices):
            return tf.convert_to_tensor(gradient)
        if self.gradient_accumulation_steps or not changes_by_rows(self.rule_of(), len(variable.shape), self.sparse):
            return tf.convert_to_tensor(gradient)
        return merged(gradient)

    def _all_reduce_sum_gradients(self: Any, grads_and_vars: Any) -> list[Any]:
        reduced = super()._all_reduce_sum_gradients(grads_and_vars)  # pyright: ignore[reportAttributeAccessIssue]
        if not tf.distribute.has_strategy():
            return reduced
        # replicas' rows stand one after the other now, and several may name the same
        return [(merged(g) if isinstance(g, tf.IndexedSlices) else g, v) for g, v in reduced]

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Make one step of one variable, or of the rows that its gradient names."""
        if isinstance(gradient, tf.IndexedSlices):
            scalars = self._scalars_for(variable, learning_rate)
            row_step(self.assign, self._program, gradient, variable, self._state_of(variable), scalars)
        else:
            super().update_step(gradient, variable, learning_rate)  # pyright: ignore[reportAttributeAccessIssue]

    def _can_be_fused(self: Any) -> bool:
        alone = not tf.distribute.has_strategy() and self._distribution_strategy is tf.distribute.get_strategy()
        if alone and "_home" not in self.__dict__:
            everything = [_native(v) for v in (*self._trainable_variables, *self.variables)]
            (home, *others), fixed = {v.device for v in everything}, all(v.shape.is_fully_defined() for v in everything)
            self.__dict__["_home"] = home if fixed and not others else None
        return alone and self._home is not None and compiles(self._home)

    def _fused(self: Any, whole: Callable[..., None], grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """Clip, decay, step and average in one compiled call, which is made anew when a setting changes."""
        known = self._compiled
        try:
            made = known.get(key := self._settings_now(variables))
        except TypeError:  # a setting is an array or a variable, to be read at each step
            return whole(grads, variables)
        if made is None:
            if len(known) >= PROGRAMS:
                if self._missed != key:  # it may be another at each step
                    self.__dict__["_missed"] = key
                    return whole(grads, variables)
                del known[next(iter(known))]
            traced = functools.partial(self._traced, whole, list(variables))
            made = known[key] = tf.function(traced, jit_compile=True, autograph=False)
        rate = self._learning_rate
        with tf.device(self._home):
            made(grads, None if isinstance(rate, keras.Variable) else tf.cast(self.learning_rate, tf.float64))

    def _settings_now(self: Any, variables: Sequence[Any]) -> tuple[Any, ...]:
        """All that a compiled step has been made for."""
        excluded = frozenset(getattr(self, "_exclude_from_weight_decay", ()))
        pattern = getattr(self, "_exclude_from_weight_decay_pattern", None)
        which = tuple(map(self._get_variable_index, variables))
        return (*(getattr(self, name) for name in self._settings), excluded, pattern, which)

    def _traced(self: Any, whole: Callable[..., None], variables: list[Any], grads: Sequence[Any], rate: Any) -> None:
        _tracing.rate = {id(self): rate}  # of this thread: others may ask for theirs meanwhile
        try:
            whole(grads, variables)
        finally:
            del _tracing.rate

    def _get_current_learning_rate(self: Any) -> Any:
        rate = getattr(_tracing, "rate", {}).get(id(self))
        return super()._get_current_learning_rate() if rate is None else rate  # pyright: ignore[reportAttributeAccessIssue]


def _native(variable: Any) -> Any:
    return variable if isinstance(variable, tf.Variable) else variable.value
