"""The functions that rules and schedules may call, under NumPy's names, for TensorFlow's tensors."""
# pyright: reportMissingImports=false

from typing import Any

import tensorflow as tf
from tensorflow import exp, sin, sqrt, tanh  # noqa: F401

log = tf.math.log


def full_like(array: tf.Tensor, value: float) -> tf.Tensor:
    """An array of that shape and dtype."""
    return tf.fill(tf.shape(array), tf.constant(value, array.dtype))


def where(condition: tf.Tensor, x: Any, y: Any) -> tf.Tensor:
    """x where the condition holds, else y; a number takes the other's dtype, and two become double precision."""
    dtype = next((a.dtype for a in (x, y) if tf.is_tensor(a)), tf.float64)
    return tf.where(condition, tf.convert_to_tensor(x, dtype), tf.convert_to_tensor(y, dtype))


def maximum(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The larger; NaN if either is, which tf.maximum does not promise once XLA compiles it."""
    return tf.where((x > y) | tf.math.is_nan(x), x, y)


def minimum(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The smaller; NaN if either is."""
    return tf.where((x < y) | tf.math.is_nan(x), x, y)


def mean(x: tf.Tensor, axis: int, keepdims: bool) -> tf.Tensor:
    """The mean along an axis."""
    return tf.reduce_mean(x, axis, keepdims)


def sum(x: tf.Tensor, axis: int, keepdims: bool) -> tf.Tensor:
    """The sum along an axis."""
    return tf.reduce_sum(x, axis, keepdims)
