"""What is refused, and what the message says."""

import re
import subprocess
import sys
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stepwell.jax
from stepwell import schedules

door = cast(Any, stepwell.jax)
ONE = jnp.ones(3)
REFUSED = [
    (lambda: door.adam(-0.1), ValueError, "learning_rate must be a finite number ≥ 0; got -0.1"),
    (lambda: door.adam(0.1, b1=1.5), ValueError, "b1 must be a number in [0, 1); got 1.5"),
    (lambda: door.adam(0.1, b2=float("nan")), ValueError, "b2 must be a number in [0, 1); got nan"),
    (lambda: door.adam("0.1"), TypeError, "learning_rate must be a finite number ≥ 0; got '0.1'"),
    (lambda: door.adam(jnp.asarray(-0.1)), ValueError, "learning_rate must be a finite number ≥ 0; got Array(-0.1"),
    (
        lambda: door.adam(jnp.ones(2)),
        TypeError,
        "learning_rate must be a finite number ≥ 0; got an array of shape (2,)",
    ),
    (lambda: door.adam(np.ones((1,))), TypeError, "got an array of shape (1,) and float64"),
    (lambda: door.adam(0.1, mu_dtype="int8"), TypeError, "mu_dtype must be a real floating type or None; got 'int8'"),
    (lambda: door.sgd(0.1, accumulator_dtype="half a float"), TypeError, "accumulator_dtype must be a real floating"),
    (lambda: door.sgd(0.1, momentum=1.0), ValueError, "momentum must be a number in [0, 1); got 1.0"),
    (lambda: door.rmsprop(0.1, decay=2), ValueError, "decay must be a number in [0, 1]; got 2"),
    (lambda: door.rmsprop(0.1, initial_scale=-1), ValueError, "initial_scale must be a finite number ≥ 0; got -1"),
    (lambda: door.rmsprop(0.1, centered=True, bias_correction=True), ValueError, "bias_correction=True needs centered"),
    (
        lambda: door.rmsprop(0.1, eps_in_sqrt=False, momentum=2),
        ValueError,
        "momentum must be a number in [0, 1); got 2",
    ),
    (lambda: door.adagrad(0.1, initial_accumulator_value=-1), ValueError, "initial_accumulator_value must be a finite"),
    (lambda: door.radam(0.1, threshold=3), ValueError, "threshold must be a finite number ≥ 4; got 3"),
    (lambda: door.adamw(0.1, weight_decay=-1), ValueError, "weight_decay must be a finite number ≥ 0; got -1"),
    (lambda: door.adadelta(0.1, weight_decay=-1), ValueError, "weight_decay must be a finite number ≥ 0; got -1"),
    (lambda: door.momentum(beta=1.5), ValueError, "beta must be a number in [0, 1); got 1.5"),
    (lambda: door.momentum(gamma=0.5), TypeError, "gamma"),
    (lambda: door.momentum(state_dtype=int), TypeError, "state_dtype must be a real floating type or None; got <class"),
    (lambda: door.from_rule(lambda g: g), TypeError, "rule must be made by @stepwell.rule.rule; got <function"),
    (
        lambda: door.adam(schedules.reduce_on_plateau(0.1)),
        TypeError,
        "learning_rate must be a number or a pure function",
    ),
    (
        lambda: door.lion(0.1).update(ONE, door.lion(0.1).init(ONE)),
        ValueError,
        "lion reads the parameters: call update(",
    ),
    (lambda: door.adam(0.1).init(jnp.arange(3)), TypeError, "must be of real floating types; got int32 of shape (3,)"),
    (lambda: door.adam(0.1).init(jnp.ones(3) * 1j), TypeError, "got complex64 of shape (3,) (optax.contrib.split_real"),
    (lambda: door.adam(0.1).update({"a": ONE}, door.adam(0.1).init({"a": None})), TypeError, "have None"),
    (lambda: door.adam(0.1).update({"a": ONE}, door.adam(0.1).init({"b": ONE})), ValueError, "key"),
]


@pytest.mark.parametrize(("act", "kind", "message"), REFUSED)
def test_what_is_refused(act, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        act()


def test_a_traced_value_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"b1 must be a number in \[0, 1\); got an array of shape \(2,\)"):
        jax.jit(lambda b1: door.adam(0.1, b1=b1).init(ONE))(jnp.ones(2))


@pytest.mark.parametrize("missing", ["jax", "optax"])
def test_a_missing_framework_is_named(missing):
    code = f"import sys; sys.modules[{missing!r}] = None\nimport stepwell\nimport stepwell.jax"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode
    assert "ImportError: stepwell.jax needs optax: pip install optax" in found.stderr
