"""The book's table of frameworks, asked of Keras."""

import keras
import numpy as np
import pytest

from tests.doors.versions import START, assert_defaults, assert_steps, of


def steps(make, gradients):
    optimizer, p = make(), keras.Variable(START, dtype="float64")
    path = []
    for g in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype="float64")], [p])
        path.append(np.array(keras.ops.convert_to_numpy(p)))
    return path


@pytest.mark.parametrize("version", of("Keras"), ids=lambda v: v.name)
def test_what_the_table_says_is_so(version):
    original = getattr(keras.optimizers, version.name.rpartition(".")[2])
    assert_defaults(version, original)
    assert_steps(version, original, steps)
