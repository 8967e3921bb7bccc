"""Every rule through Keras beside the float64 reference, and that wrong rules are told from it."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import contextlib

import keras
import numpy as np
import pytest

from stepwell import rules
from stepwell.keras import from_rule
from stepwell.rule import Rule, minimum, row_mean, rule, where
from tests.doors.keras import harness
from tests.doors.keras.harness import BACKEND, WAYS
from tests.doors.matrix import LIMITS, Matrix, difference, gradients, reference, start


def _double(dtype):
    if BACKEND != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(dtype == np.float64)


def _optimizer(trained, hyper):
    return from_rule(trained)(**{"learning_rate" if name == "lr" else name: value for name, value in hyper.items()})


def train(trained: Rule, hyper, p, given, way=WAYS[0]) -> np.ndarray:
    with _double(p.dtype):
        return harness.train(_optimizer(trained, hyper), [p], [[g] for g in given], way)[-1][0]


class TestMatrix(Matrix):
    door = "keras"


@rule
def odd(p, g, s, k, t, *, lr=0.1, low=-1.0):
    """Choices between numbers, means of rows, a state that is one number, and no state that is like another."""
    s = where(g > 0, 1.0, low) + 0.5 * s
    k = where(t > 3, 2.0, 1.0)
    return lr * where(g > row_mean(g), s, k) + where(p > 0, 1e-3, minimum(p, 2e-3)) * k, s, k


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", LIMITS)
def test_a_rule_of_ones_own_is_the_reference(dtype, way):
    assert difference(odd, dtype, lambda *given: train(*given, way=way)) <= LIMITS[dtype]


@pytest.mark.parametrize("dtype", LIMITS)
def test_where_a_state_starts_and_the_hyperparameters_are_not_rounded(dtype):
    """Keras on TensorFlow rounds both to single precision."""
    hyper = {"lr": 0.1, "eps": 0.3, "initial_accumulator": 0.1}
    p, given = start(dtype), gradients(dtype)
    path = reference(rules.adagrad_eps_inside, hyper, p, given)
    found = train(rules.adagrad_eps_inside, hyper, p, given)
    assert abs(found - path[-1]).max() <= LIMITS[dtype] * abs(path).max()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_single_and_rounded_once(dtype, way):
    """Keras rounds 1 - β₂ and β₂ itself to the variable's dtype: 0.999 is 1 in bfloat16."""
    variable = keras.Variable(np.ones(3), dtype=dtype)
    optimizer = from_rule(rules.adam)(learning_rate=0.01)
    step = harness.stepper(optimizer, [variable], way)
    for size in (1.0, 2.0, 0.5):
        step([keras.ops.full((3,), size, dtype=dtype)])
    p, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate((1.0, 2.0, 0.5), 1):
        change, m, v = rules.adam(g, m, v, t, lr=0.01)
        p -= change
    assert variable.dtype == dtype
    assert harness.numpy(keras.ops.cast(variable, "float32")) == pytest.approx(p, abs=0.02)
    state = harness.numpy(keras.ops.cast(optimizer.variables[-1], "float32"))
    assert state == pytest.approx(v, rel=2**-7)
    assert from_rule(rules.adam)(learning_rate=0.01).get_config()["learning_rate"] == pytest.approx(0.01, rel=1e-7)
