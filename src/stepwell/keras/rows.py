"""Sparse gradients of TensorFlow (`tf.IndexedSlices`): the rows that they name, and when no others change."""
# pyright: reportMissingImports=false

import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from stepwell.keras.arithmetic import step
from stepwell.kernels import Stages, cpu
from stepwell.kernels.trace import Program
from stepwell.rule import Rule


def changes_by_rows(rule: Rule, axes: int, sparse: str) -> bool:
    """Whether a gradient that names rows changes those alone: by choice, or since the rule does nothing at a zero."""
    if cpu.program(rule, Stages()).by_rows and axes == 1:
        return False  # all elements are one row
    return sparse == "lazy" or not _moves(rule)


@functools.cache
def _moves(rule: Rule) -> bool:
    from stepwell.kernels.rest import rest  # it brings a compiler along, which dense gradients do not need

    return rest(rule, Stages(), lazy=False).moves


def merged(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with every row once: values of equal indices are added."""
    rows, ids = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, ids, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def row_step(
    assign: Callable[[Any, Any], None], program: Program, gradient: tf.IndexedSlices, variable: Any,
    state: Mapping[str, Any], scalars: Mapping[str, Any],
) -> None:  # fmt: skip
    """Make one step of the rows that a merged gradient names."""
    rows = gradient.indices
    arrays = {name: tf.gather(tf.convert_to_tensor(x), rows) for name, x in state.items()}
    p, new = step(program, tf.gather(tf.convert_to_tensor(variable), rows), gradient.values, arrays, scalars)
    assign(variable, tf.IndexedSlices(p, rows))
    for name, value in new.items():
        assign(state[name], tf.IndexedSlices(value, rows))
