# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Groups, rates of single parameters, schedulers and decay, beside Paddle's own optimizers."""

import numpy as np
import paddle
import pytest
from paddle.nn import ClipGradByGlobalNorm, ClipGradByNorm
from paddle.optimizer import lr as paddle_lr
from paddle.regularizer import L1Decay, L2Decay

import stepwell.paddle as door
from stepwell import rules, schedules
from stepwell.paddle import from_rule
from tests.doors.paddle.harness import LIMITS, SHAPES, WITH_AXES, distance, give, gradients, parameters, train

ATTRS = [
    paddle.ParamAttr(learning_rate=0.5),
    paddle.ParamAttr(regularizer=L1Decay(0.1)),
    paddle.ParamAttr(need_clip=False, regularizer=L2Decay(0.3)),
    None,
    paddle.ParamAttr(learning_rate=2.0, regularizer=L2Decay(0.2), need_clip=False),
]
GROUPED = {
    "SGD": {"weight_decay": 0.2},
    "Momentum": {"momentum": 0.5, "use_nesterov": True},
    "Adagrad": {"epsilon": 0.1},
    "Adadelta": {"rho": 0.5, "epsilon": 0.1},
    "RMSProp": {"rho": 0.5, "momentum": 0.5, "centered": True},
    "Adam": {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1},
    "AdamW": {"beta1": 0.5, "weight_decay": 0.5},
    "Adamax": {"beta1": 0.5, "beta2": 0.9},
    "NAdam": {"beta1": 0.5, "momentum_decay": 0.1},
    "RAdam": {"beta1": 0.5, "beta2": 0.9},
}


def both(name, make, **more):
    mine, _ = train(lambda ps: make(getattr(door, name), ps), "float32", **more)
    theirs, _ = train(lambda ps: make(getattr(paddle.optimizer, name), ps), "float32", **more)
    return distance(mine, theirs)


@pytest.mark.parametrize("name", GROUPED)
def test_groups_are_as_in_paddle(name):
    def make(cls, ps):
        groups = [
            {"params": ps[:2], "learning_rate": 0.1, **GROUPED[name]},
            {"params": ps[2:3], "weight_decay": 0.3, "grad_clip": ClipGradByNorm(0.5)},
            {"params": ps[3:]},
        ]
        return cls(0.05, parameters=groups, weight_decay=0.1, grad_clip=ClipGradByGlobalNorm(1.0))

    assert both(name, make, shapes=WITH_AXES) <= LIMITS["float32"]


@pytest.mark.parametrize("name", GROUPED)
def test_attributes_of_parameters_are_as_in_paddle(name):
    for clip in (None, ClipGradByGlobalNorm(1.0), ClipGradByNorm(1.0)):
        make = lambda cls, ps, clip=clip: cls(0.05, parameters=ps, weight_decay=0.1, grad_clip=clip)  # noqa: E731
        assert both(name, make, attrs=ATTRS, shapes=WITH_AXES) <= LIMITS["float32"]


def test_a_clip_and_attributes_without_other_regularizers():
    """The factor goes into the kernel here, but for the parameters that need no clipping."""
    attrs = [None if k == 1 else a for k, a in enumerate(ATTRS)]
    for clip in (ClipGradByGlobalNorm(1.0), ClipGradByNorm(1.0), ClipGradByGlobalNorm(1e6)):
        make = lambda cls, ps, clip=clip: cls(0.05, parameters=ps, grad_clip=clip)  # noqa: E731
        assert both("Adam", make, attrs=attrs, shapes=WITH_AXES) <= LIMITS["float32"]


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSProp"])
def test_schedulers_of_paddle(name):
    def make(cls, ps):
        return cls(paddle_lr.StepDecay(0.05, 3, 0.5), parameters=ps)

    after = lambda o, i: o._learning_rate.step()  # noqa: E731
    assert both(name, make, after=after) <= LIMITS["float32"]


def test_set_lr_and_set_lr_scheduler():
    def after(o, i):
        if i == 10:
            o.set_lr(0.2)
            assert o.get_lr() == 0.2
        if i == 20:
            o.set_lr_scheduler(paddle_lr.ExponentialDecay(0.1, 0.9))
        if i > 20:
            o._learning_rate.step()

    assert both("Adam", lambda cls, ps: cls(0.05, parameters=ps), after=after) <= LIMITS["float32"]


@pytest.mark.parametrize(
    "make", [lambda lr, ps: door.Adam(lr, parameters=ps), lambda lr, ps: from_rule(rules.lion)(lr, parameters=ps)]
)
def test_a_rate_may_be_a_function_of_the_step(make, tmp_path):
    rate = 0.1 * schedules.cosine(60)
    followed, optimizer = train(lambda ps: make(rate, ps), "float32")
    by_hand, _ = train(lambda ps: make(rate(0), ps), "float32", after=lambda o, i: o.set_lr(rate(i + 1)))
    assert distance(followed, by_hand) == 0
    assert optimizer.get_lr() == rate(50)

    half, optimizer = train(lambda ps: make(rate, ps), "float32", gradients("float32")[:20])
    saved = optimizer.state_dict()

    def resumed(ps):
        for p, x in zip(ps, half, strict=True):
            p.set_value(x)
        made = make(rate, ps)
        made.set_state_dict(saved)
        return made

    found, _ = train(resumed, "float32", gradients("float32")[20:])
    assert distance(found, followed) == 0


def test_groups_of_a_rule():
    """A group's hyperparameters are its own, its rate a factor, its decay beside or in the rule."""
    found, _ = train(
        lambda ps: from_rule(rules.momentum)(
            0.1,
            parameters=[{"params": ps[:2], "beta": 0.5}, {"params": ps[2:], "learning_rate": 0.5, "weight_decay": 0.1}],
        ),
        "float64",
    )
    one, _ = train(lambda ps: from_rule(rules.momentum)(0.1, 0.5, parameters=ps), "float64")
    other, _ = train(lambda ps: from_rule(rules.momentum)(0.05, parameters=ps, weight_decay=0.1), "float64")
    assert distance(found, [*one[:2], *other[2:]]) <= 1e-15

    groups = lambda ps: [{"params": ps[:2], "weight_decay": 0.5}, {"params": ps[2:]}]  # noqa: E731
    found, _ = train(lambda ps: from_rule(rules.adamw)(0.1, parameters=groups(ps)), "float64")
    one, _ = train(lambda ps: from_rule(rules.adamw)(0.1, weight_decay=0.5, parameters=ps), "float64")
    other, _ = train(lambda ps: from_rule(rules.adamw)(0.1, parameters=ps), "float64")
    assert distance(found, [*one[:2], *other[2:]]) == 0


def test_a_parameter_that_joins_later_starts_at_step_one():
    given = gradients("float32")
    late = [[g if k or i >= 20 else None for k, g in enumerate(row)] for i, row in enumerate(given)]
    make = lambda cls, ps: cls(0.05, parameters=ps)  # noqa: E731
    for name in ("Adam", "NAdam", "RAdam", "Adamax"):
        assert both(name, make, given=late) <= LIMITS["float32"]


def test_minimize_and_apply_gradients():
    whole, _ = train(lambda ps: door.Adam(0.05, parameters=ps), "float32")
    for way in ("minimize", "apply_gradients", "_apply_optimize"):
        params = parameters("float32")
        optimizer = door.Adam(0.05, parameters=params)
        for row in gradients("float32"):
            give(params, row)
            pairs = [(p, p.grad) for p in params if p.grad is not None]
            if way == "minimize":
                assert len(optimizer.minimize(params[0].sum())[1]) == len(pairs)
            elif way == "apply_gradients":
                optimizer.apply_gradients(pairs)
            else:
                optimizer._apply_optimize(None, None, pairs)
        assert distance([p.numpy() for p in params], whole) == 0


def test_minimize_takes_the_parameters_named_only():
    params = parameters("float32")
    give(params, [np.ones(s, "float32") for s in SHAPES])
    before = [p.numpy() for p in params]
    door.SGD(0.1, parameters=params).minimize(params[0].sum(), parameters=params[:1])
    assert [bool((p.numpy() != b).any()) for p, b in zip(params, before, strict=True)] == [True, *[False] * 4]


def test_a_frozen_parameter_stays():
    params = parameters("float32")
    give(params, [np.ones(s, "float32") for s in SHAPES])
    params[0].stop_gradient = True
    before = params[0].numpy()
    door.Adam(0.1, parameters=params).step()
    assert (params[0].numpy() == before).all()
