"""What is refused, and in which words."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import subprocess
import sys

import keras
import numpy as np
import pytest

import stepwell.keras as ours
from stepwell import rules
from stepwell.rule import rule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ours.Adam(beta_1=1.5), r"beta_1 must be a number in \[0, 1\); got 1\.5"),
        (lambda: ours.Adam(epsilon=-1.0), r"epsilon must be a finite number ≥ 0; got -1\.0"),
        (lambda: ours.Adam(-0.1), r"learning_rate must be a finite number ≥ 0; got -0\.1"),
        (lambda: ours.Adam("fast"), r"learning_rate must be a finite number ≥ 0; got 'fast'"),
        (lambda: ours.SGD(momentum=1.0), r"momentum must be a number in \[0, 1\); got 1\.0"),
        (lambda: ours.Adam(sparse="maybe"), r"sparse must be 'exact' or 'lazy'; got 'maybe'"),
        (lambda: ours.Adam(sparse="lazy", gradient_accumulation_steps=2), "'lazy' does not go with gradient_accum"),
        (lambda: ours.from_rule(rules.adamw)(weight_decay=None), r"weight_decay must be a finite number ≥ 0; got None"),
        (lambda: ours.Adam(clipnorm=1.0, clipvalue=1.0), "Only one of"),
        (lambda: ours.Adam(momentum=0.9), "unexpected keyword argument 'momentum'"),
        (lambda: ours.from_rule(abs), "rule must be made by"),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def test_a_setting_that_leaves_its_domain_is_refused_before_anything_changes():
    optimizer, variable = ours.Adam(0.1, weight_decay=0.5), keras.Variable(np.ones(2))
    optimizer.build([variable])
    optimizer.beta_1 = 2.0
    with pytest.raises(ValueError, match="beta_1 must be a number in"):
        optimizer.apply([keras.ops.ones(2)], [variable])
    assert (keras.ops.convert_to_numpy(variable) == 1).all()
    with pytest.raises(ValueError, match="learning_rate must be a finite number ≥ 0; got nan"):
        optimizer.learning_rate = float("nan")


def test_a_setting_that_needs_more_state_than_was_made_is_refused():
    optimizer, variable = ours.SGD(0.1, weight_decay=0.5), keras.Variable(np.ones(2))
    optimizer.build([variable])
    optimizer.momentum = 0.9
    with pytest.raises(ValueError, match="SGD was built without the state v, which momentum_rate_inside keeps"):
        optimizer.apply([keras.ops.ones(2)], [variable])
    assert (keras.ops.convert_to_numpy(variable) == 1).all()


def test_a_name_that_keras_has_taken_is_refused():
    @rule
    def clashing(g, *, lr=0.1, iterations=2.0):
        return lr * g / iterations

    with pytest.raises(TypeError, match="rule clashing: Keras's optimizers have taken the name 'iterations'"):
        ours.from_rule(clashing)


def test_a_rule_without_a_rate_has_none():
    @rule
    def plain(g, *, size):
        return size * g

    variable = keras.Variable(np.zeros(2))
    kind = ours.from_rule(plain)
    with pytest.raises(TypeError, match="missing a required argument: 'size'"):
        kind()
    optimizer = kind(0.5)
    optimizer.apply([keras.ops.ones(2)], [variable])
    assert keras.ops.convert_to_numpy(variable) == pytest.approx(-0.5)
    assert "learning_rate" not in optimizer.get_config()
    assert kind.from_config(optimizer.get_config()).size == 0.5


def test_a_missing_framework_is_named():
    code = "import sys; sys.modules['keras'] = None; import stepwell; import stepwell.keras"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "stepwell.keras needs keras tensorflow: pip install keras tensorflow" in done.stderr
