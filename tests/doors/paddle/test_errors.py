# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""What is refused, and what the message says; nothing has changed then."""

import re
import subprocess
import sys

import numpy as np
import paddle
import pytest

import stepwell.paddle as door
from stepwell import rules
from stepwell.paddle import from_rule
from tests.doors.paddle.harness import SHAPES, give, gradients, parameters

REFUSED = [
    (lambda ps: door.Adam(-0.1, parameters=ps), ValueError, "learning_rate must be a finite number ≥ 0; got -0.1"),
    (lambda ps: door.SGD("fast", ps), TypeError, "learning_rate must be a finite number ≥ 0; got 'fast'"),
    (lambda ps: door.SGD(lambda k: -1.0, ps), ValueError, "lr must be a finite number ≥ 0; got -1.0 at step 0"),
    (lambda ps: door.Adam(beta1=1.5, parameters=ps), ValueError, "beta1 must be a number in [0, 1); got 1.5"),
    (lambda ps: door.Adam(epsilon=-1, parameters=ps), ValueError, "epsilon must be a finite number ≥ 0; got -1"),
    (lambda ps: door.Momentum(0.1, 1.0, ps), ValueError, "momentum must be a number in [0, 1); got 1.0"),
    (lambda ps: door.RMSProp(0.1, rho=2, parameters=ps), ValueError, "rho must be a number in [0, 1]; got 2"),
    (lambda ps: door.AdamW(weight_decay=-1.0, parameters=ps), ValueError, "weight_decay must be a finite number ≥ 0"),
    (
        lambda ps: door.Adagrad(0.1, initial_accumulator_value=-1.0, parameters=ps),
        ValueError,
        "initial_accumulator_value",
    ),
    (lambda ps: door.NAdam(momentum_decay=float("nan"), parameters=ps), ValueError, "momentum_decay must be a finite"),
    (lambda ps: door.Adam(parameters=[{"params": ps, "beta2": 1.0}]), ValueError, "beta2 must be a number in [0, 1)"),
    (lambda ps: door.Adam(parameters=[*ps, ps[0]]), ValueError, "parameters holds create_parameter_0.w_0 twice"),
    (lambda ps: door.Adam(), AttributeError, "parameters"),
    (lambda ps: door.Adam(parameters=ps[0]), TypeError, "parameters"),
    (lambda ps: door.Adam(parameters=ps, momentum=0.9), TypeError, "momentum"),
    (
        lambda ps: from_rule(rules.lion)(beta1=1.0, parameters=ps),
        ValueError,
        "beta1 must be a number in [0, 1); got 1.0",
    ),
    (lambda ps: from_rule(rules.lion)(gamma=1.0, parameters=ps), TypeError, "gamma"),
    (lambda ps: from_rule(rules.adam)(sparse="dense", parameters=ps), ValueError, "sparse must be one of lazy, exact"),
    (lambda ps: from_rule(rules.adam)(weight_decay=-1, parameters=ps), ValueError, "weight_decay must be a finite"),
    (
        lambda ps: from_rule(rules.adam)(parameters=[{"params": ps, "beta": 1}]),
        ValueError,
        "a group of parameters may have",
    ),
    (lambda ps: from_rule(rules.adam)(parameters=[{"params": ps, "beta1": 2}]), ValueError, "beta1 must be a number"),
    (lambda ps: from_rule(lambda g: g), TypeError, "rule must be made by @stepwell.rule.rule; got <function"),
    (lambda ps: door.SGD(0.1, ps).use_fusion_storage(), NotImplementedError, "use_fusion_storage() is not supported"),
    (lambda ps: door.Muon, AttributeError, "has no attribute 'Muon'"),
]


@pytest.mark.parametrize(("act", "kind", "message"), REFUSED)
def test_what_is_refused(act, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        act(parameters("float32"))


def test_a_refused_group_leaves_the_parameters_attributes():
    params = parameters("float32")
    with pytest.raises(ValueError, match="beta1"):
        door.Adam(parameters=[{"params": params, "beta1": 1.5, "weight_decay": 0.5, "learning_rate": 0.1}])
    assert all(p.regularizer is None and p.optimize_attr == {"learning_rate": 1.0} for p in params)


@pytest.mark.parametrize(
    "make", [lambda ps: door.Adam(0.1, parameters=ps), lambda ps: from_rule(rules.adam)(parameters=ps)]
)
def test_an_odd_gradient_changes_nothing(make):
    params = parameters("float32")
    optimizer = make(params)
    give(params, [np.ones(s, "float32") for s in SHAPES])
    optimizer.step()
    before, state = [p.numpy() for p in params], {k: str(v) for k, v in optimizer.state_dict().items()}
    odd = [
        (paddle.ones([31, 33]), "must have the shape [33, 31]; got [31, 33]"),
        (paddle.ones([33, 31], "int32"), "must be of real numbers; got int32"),
        (paddle.ones([33, 31]).astype("complex64"), "must be of real numbers; got complex64"),
    ]
    for g, message in odd:
        pairs = [(p, p.grad) for p in params[:-1]]
        with pytest.raises(ValueError, match=re.escape(message)):
            optimizer.apply_gradients([*pairs, (params[-1], g)])
        assert all((p.numpy() == b).all() for p, b in zip(params, before, strict=True))
        assert {k: str(v) for k, v in optimizer.state_dict().items()} == state


def test_a_rate_that_becomes_odd_changes_nothing():
    params = parameters("float32")
    optimizer = door.Adam(lambda k: 0.1 if k < 1 else float("nan"), parameters=params)
    give(params, [np.ones(s, "float32") for s in SHAPES])
    with pytest.raises(ValueError, match="lr must be a finite number ≥ 0; got nan at step 1"):
        optimizer.step()
    other = door.Adam(0.1, parameters=params)
    other.set_lr(-1.0)
    before = [p.numpy() for p in params]
    with pytest.raises(ValueError, match=re.escape("learning_rate must be a finite number ≥ 0; got -1.0")):
        other.step()
    assert all((p.numpy() == b).all() for p, b in zip(params, before, strict=True))


def test_a_state_dict_that_does_not_fit_changes_nothing():
    params = parameters("float32")
    optimizer = door.Adam(0.1, parameters=params)
    give(params, [np.ones(s, "float32") for s in SHAPES])
    optimizer.step()
    state = {k: v.clone() for k, v in optimizer.state_dict().items()}
    missing = {k: v * 0 for k, v in list(state.items())[1:]}
    first, *_, last = state
    odd = {**{k: v * 0 for k, v in state.items()}, last: paddle.zeros([2, 2])}
    for given, message in ((missing, f"state_dict['{first}'] must have"), (odd, f"state_dict['{last}'] must have")):
        with pytest.raises(ValueError, match=re.escape(message)):
            optimizer.set_state_dict(given)
        assert all((v.numpy() == state[k].numpy()).all() for k, v in optimizer.state_dict().items())


def test_static_graphs_are_refused():
    params = parameters("float32")
    optimizer = door.Adam(parameters=params)
    paddle.enable_static()
    try:
        for act in (lambda: door.Adam(parameters=params), optimizer.step, lambda: optimizer.minimize(None)):
            with pytest.raises(RuntimeError, match="dynamic graphs"):
                act()
    finally:
        paddle.disable_static()


def test_a_step_without_gradients_is_none():
    params = parameters("float32")
    for make in (lambda ps: door.Adam(0.1, parameters=ps), lambda ps: from_rule(rules.lion)(parameters=ps)):
        optimizer = make(params)
        before = [p.numpy() for p in params]
        optimizer.step()
        assert all((p.numpy() == b).all() for p, b in zip(params, before, strict=True))


def test_not_a_number_goes_through_as_in_paddle():
    given = gradients("float32", steps=1)
    given[0][0][2, 3] = np.nan
    given[0][4][0, 0] = np.inf
    for name in ("SGD", "Adam", "RMSProp"):
        found = []
        for module in (door, paddle.optimizer):
            params = parameters("float32")
            give(params, given[0])
            getattr(module, name)(0.1, parameters=params).step()
            found.append([p.numpy() for p in params])
        for mine, theirs in zip(*found, strict=True):
            np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(theirs))


def test_without_paddle_it_says_what_to_install():
    script = "import sys; sys.modules['paddle'] = None\nimport stepwell\nimport stepwell.paddle"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError: stepwell.paddle needs paddlepaddle: pip install paddlepaddle" in done.stderr


def test_every_rule_has_a_class():
    for name in door.__all__:
        assert isinstance(getattr(door, name), type) or name == "from_rule"
    assert door.Lion is from_rule(rules.lion)
    assert issubclass(door.Lion, paddle.optimizer.Optimizer)
