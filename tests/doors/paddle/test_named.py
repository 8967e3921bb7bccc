# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Paddle's own names beside Paddle's own optimizers: signature, numbers, state and its names."""

import inspect

import numpy as np
import paddle
import pytest
from paddle.nn import ClipGradByGlobalNorm, ClipGradByNorm, ClipGradByValue
from paddle.regularizer import L1Decay, L2Decay

import stepwell.paddle as door
from tests.doors.paddle.harness import LIMITS, SHAPES, WITH_AXES, distance, gradients, moved, train

NAMES = ("SGD", "Momentum", "Adagrad", "Adadelta", "RMSProp", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")
OPTIONS = {
    "SGD": [{}, {"multi_precision": True}],
    "Momentum": [{}, {"momentum": 0.5}, {"use_nesterov": True}, {"momentum": 0.0}, {"weight_decay": L2Decay(0.1)}],
    "Adagrad": [{}, {"epsilon": 0.1, "initial_accumulator_value": 0.3}],
    "Adadelta": [{}, {"rho": 0.5, "epsilon": 0.1}],
    "RMSProp": [
        {},
        {"rho": 0.5, "epsilon": 0.1},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.5, "epsilon": 0.1},
    ],
    "Adam": [{}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1}, {"amsgrad": True}, {"lazy_mode": True}],
    "AdamW": [
        {},
        {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1, "weight_decay": 0.5},
        {"amsgrad": True, "weight_decay": 0.0},
        {"apply_decay_param_fun": lambda name: name.endswith(("_0.w_0", "_2.w_0")), "weight_decay": 0.5},
    ],
    "Adamax": [{}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1}],
    "NAdam": [{}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1, "momentum_decay": 0.1}],
    "RAdam": [{}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1}],
}
COMMON = [
    {"weight_decay": 0.1},
    {"weight_decay": L2Decay(0.1)},
    {"weight_decay": L1Decay(0.1)},
    {"grad_clip": ClipGradByGlobalNorm(1.0)},
    {"grad_clip": ClipGradByGlobalNorm(1.0, auto_skip_clip=True)},
    {"grad_clip": ClipGradByNorm(1.0)},
    {"grad_clip": ClipGradByValue(0.5)},
    {"grad_clip": ClipGradByValue(0.5, -2.0)},
    {"grad_clip": ClipGradByGlobalNorm(1.0), "weight_decay": 0.1},
    {"grad_clip": ClipGradByGlobalNorm(1.0), "weight_decay": L1Decay(0.1)},
    {"name": "mine"},
]
CASES = [(name, options) for name in NAMES for options in OPTIONS[name]]
CASES += [(name, o) for name in ("SGD", "Momentum", "Adam") for o in COMMON]
CASES += [("AdamW", {k: v for k, v in o.items() if k != "weight_decay"}) for o in COMMON if "grad_clip" in o]
SHARED = ("Adagrad", "Adadelta", "RMSProp", "Adamax", "NAdam", "RAdam")
CASES += [(name, {"weight_decay": 0.1, "grad_clip": ClipGradByGlobalNorm(1.0)}) for name in SHARED]


def both(name, options, dtype, lr=0.01, **more):
    more |= {"shapes": WITH_AXES} if "grad_clip" in options else {}
    theirs = train(lambda ps: getattr(paddle.optimizer, name)(lr, parameters=ps, **options), dtype, **more)
    mine = train(lambda ps: getattr(door, name)(lr, parameters=ps, **options), dtype, **more)
    return mine, theirs


def show(value):
    """Without addresses of functions: workers must collect the same tests."""
    if isinstance(value, dict):
        return "-".join(f"{k}={getattr(v, '__name__', v)}" for k, v in value.items())
    return None


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("name", "options"), CASES, ids=show)
def test_numbers_are_paddles(name, options, dtype):
    if dtype == "float64" and isinstance(options.get("grad_clip"), ClipGradByNorm):
        pytest.skip("Paddle has no clip_by_norm in double precision on a CPU")
    (mine, _), (theirs, _) = both(name, options, dtype)
    assert moved(mine, dtype)
    assert distance(mine, theirs) <= LIMITS[dtype]


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_paddles(name):
    assert inspect.signature(getattr(door, name)) == inspect.signature(getattr(paddle.optimizer, name))
    assert issubclass(getattr(door, name), getattr(paddle.optimizer, name))


def plain(state):
    """A state dict's tensors as arrays."""
    return {name: x.numpy() for name, x in state.items() if hasattr(x, "numpy")}


def is_told_alike(key, name, options):
    """Not where Paddle keeps what it never reads: RMSProp's last step, and powers of β beside what has no elements."""
    unread = name == "RMSProp" and not options.get("momentum") and "_momentum_0" in key
    return not unread and not ("_3.w_0_" in key and "pow" in key)


@pytest.mark.parametrize(("name", "options"), CASES, ids=show)
def test_state_dict_is_paddles(name, options):
    (_, mine), (_, theirs) = both(name, options, "float32")
    mine, theirs = plain(mine.state_dict()), plain(theirs.state_dict())
    assert list(mine) == list(theirs)
    for key, value in theirs.items():
        assert mine[key].dtype == value.dtype
        assert mine[key].shape == value.shape
        if is_told_alike(key, name, options):
            # 1 - β₂ in single precision, as Paddle has it, is off by 1.3e-5
            np.testing.assert_allclose(mine[key], value, rtol=5e-5, atol=1e-6 * (abs(value).max() if value.size else 1))


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if not c[1].get("grad_clip")], ids=show)
@pytest.mark.parametrize("first", ["ours", "paddle"])
def test_training_goes_on_in_the_other(name, options, first, tmp_path):
    """20 steps in one, the state dict through a file, 30 in the other: as all 50 in Paddle."""
    given = gradients("float32")
    makers = [getattr(door, name), getattr(paddle.optimizer, name)]
    one, other = makers if first == "ours" else makers[::-1]
    whole, _ = train(lambda ps: getattr(paddle.optimizer, name)(0.01, parameters=ps, **options), "float32")
    half, optimizer = train(lambda ps: one(0.01, parameters=ps, **options), "float32", given[:20])
    saved = optimizer.state_dict()
    if saved:  # Paddle refuses to save an empty one
        paddle.save(saved, str(tmp_path / "state"))
        saved = paddle.load(str(tmp_path / "state"))

    def resumed(params):
        for p, x in zip(params, half, strict=True):
            p.set_value(x)
        made = other(0.01, parameters=params, **options)
        made.set_state_dict(saved)
        return made

    found, _ = train(resumed, "float32", given[20:])
    assert distance(found, whole) <= 2 * LIMITS["float32"]


@pytest.mark.parametrize("name", NAMES)
def test_set_state_dict_takes_over_in_the_middle(name):
    given = gradients("float32")
    whole, _ = train(lambda ps: getattr(door, name)(0.01, parameters=ps), "float32")
    kept = {}

    def there_and_back(optimizer, i):
        if i == 20:
            kept["state"] = {k: v.clone() for k, v in optimizer.state_dict().items()}
            kept["params"] = [p.clone() for p in optimizer._parameter_list]
        if i == 30:
            for p, x in zip(optimizer._parameter_list, kept["params"], strict=True):
                p.set_value(x)
            optimizer.set_state_dict(kept["state"])

    again = [*given[:31], *given[21:]]
    found, _ = train(lambda ps: getattr(door, name)(0.01, parameters=ps), "float32", again, after=there_and_back)
    assert distance(found, whole) <= 3e-7


def test_multi_tensor_is_the_same():
    given = [
        [np.ones(x, "float32") if g is None else g for g, x in zip(row, SHAPES, strict=True)]
        for row in gradients("float32")
    ]
    for name in ("Adam", "Momentum"):  # Paddle's takes no parameters without gradients there
        options = {"use_multi_tensor": True, "weight_decay": 0.1}
        (mine, _), (theirs, _) = both(name, options, "float32", given=given)
        assert distance(mine, theirs) <= LIMITS["float32"]


def test_lr_ratio_is_honoured():
    """Paddle has it on a GPU alone."""
    with_ratio, _ = train(lambda ps: door.AdamW(0.01, parameters=ps, lr_ratio=lambda p: 0.5), "float32")
    halved, _ = train(lambda ps: paddle.optimizer.AdamW(0.005, parameters=ps), "float32")
    assert distance(with_ratio, halved) <= LIMITS["float32"]


def test_rescale_grad_is_honoured():
    """Paddle's kernel for the CPU does not read it."""
    options = {"rescale_grad": 0.5, "weight_decay": 0.1}
    found, _ = train(lambda ps: door.Momentum(0.01, parameters=ps, **options), "float32")
    halved = [[None if g is None else 0.5 * g for g in row] for row in gradients("float32")]
    halved = [[None if g is None else g.astype("float32") for g in row] for row in halved]
    expected, _ = train(lambda ps: paddle.optimizer.Momentum(0.01, parameters=ps, weight_decay=0.1), "float32", halved)
    assert distance(found, expected) <= LIMITS["float32"]


def test_epsilon_and_betas_may_be_tensors():
    tensors = {"beta1": paddle.to_tensor(0.5), "beta2": paddle.to_tensor(0.75), "epsilon": paddle.to_tensor(0.125)}
    found, _ = train(lambda ps: door.Adam(0.01, parameters=ps, **tensors), "float32")
    expected, _ = train(lambda ps: door.Adam(0.01, 0.5, 0.75, 0.125, parameters=ps), "float32")
    assert distance(found, expected) == 0
