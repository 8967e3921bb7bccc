"""Bad input: an error that names the argument, the value and what it must be; nothing has changed."""

import warnings
from typing import Any

import numpy as np
import pytest

import stepwell.numpy as door
from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.rule import RESERVED, Rate, rule
from tests.numpy import snapshot


def frozen_array() -> np.ndarray:
    array = np.zeros(2)
    array.flags.writeable = False
    return array


shared = np.zeros(10)
CONSTRUCTION = [
    (lambda: door.Adam(), TypeError, "missing a required argument: 'params'"),
    (lambda: door.Adam(np.zeros(2)), TypeError, "params must be a dict or a list of arrays; got ndarray"),
    (lambda: door.Adam(None), TypeError, "params must be a dict or a list of arrays; got NoneType"),
    (lambda: door.Adam("ab"), TypeError, "params must be a dict or a list of arrays; got str"),
    (lambda: door.Adam(p for p in [np.zeros(2)]), TypeError, "a dict or a list of arrays; got generator"),
    (lambda: door.Adam([]), ValueError, "params must hold at least one array; got none"),
    (lambda: door.Adam({}), ValueError, "params must hold at least one array; got none"),
    (lambda: door.Adam([[1.0, 2.0]]), TypeError, "params[0] must be an array of float16, float32 or float64; got list"),
    (lambda: door.Adam({"w": 1.0}), TypeError, "params['w'] must be an array of float16, float32 or float64; got "),
    (lambda: door.Adam([np.float64(1)]), TypeError, "params[0] must be an array"),
    (lambda: door.Adam([np.zeros(2, int)]), TypeError, "got dtype int64"),
    (lambda: door.Adam([np.zeros(2, complex)]), TypeError, "got dtype complex128"),
    (lambda: door.Adam([np.zeros(2, bool)]), TypeError, "got dtype bool"),
    (lambda: door.Adam([np.zeros(2, object)]), TypeError, "got dtype object"),
    (lambda: door.Adam([np.zeros(2, np.dtype("f8").newbyteorder())]), TypeError, "params[0] must be an array"),
    (lambda: door.Adam([np.zeros(2), frozen_array()]), ValueError, "params[1] is read-only"),
    (lambda: door.Adam([shared, shared]), ValueError, "params[1] shares memory with params[0]"),
    (lambda: door.Adam({"a": shared[:6], "b": np.zeros(2), "c": shared[5:]}), ValueError, "params['c'] shares memory"),
    (lambda: door.Adam([shared[::2], shared[::-1]]), ValueError, "shares memory"),
    (lambda: door.Adam([np.zeros(2)], lr=-1), ValueError, "lr must be a finite number ≥ 0; got -1"),
    (lambda: door.Adam([np.zeros(2)], lr=np.nan), ValueError, "lr must be a finite number ≥ 0; got nan"),
    (lambda: door.Adam([np.zeros(2)], lr="fast"), TypeError, "lr must be a finite number ≥ 0; got 'fast'"),
    (lambda: door.Adam([np.zeros(2)], lr=None), TypeError, "lr must be a finite number ≥ 0; got None"),
    (lambda: door.Adam([np.zeros(2)], lr=lambda k: -1), ValueError, "lr must be a finite number ≥ 0; got -1"),
    (lambda: door.Adam([np.zeros(2)], beta1=1.0), ValueError, "beta1 must be a number in [0, 1); got 1.0"),
    (lambda: door.Adam([np.zeros(2)], betas=(0.9, 0.99)), TypeError, "unexpected keyword argument 'betas'"),
    (lambda: door.Adam([np.zeros(2)], weight_decay=-0.1), ValueError, "weight_decay must be a finite number ≥ 0"),
    (lambda: door.Adam([np.zeros(2)], weight_decay=None), TypeError, "weight_decay must be a finite number"),
    (lambda: door.Adam([np.zeros(2)], clip_norm=0), ValueError, "clip_norm must be a finite number > 0; got 0"),
    (lambda: door.Adam([np.zeros(2)], ema=1), ValueError, "ema must be a number in [0, 1); got 1"),
    (lambda: door.Adam([np.zeros(2)], ema=True), TypeError, "ema must be a number in [0, 1); got True"),
    (lambda: door.Adam([np.zeros(2)], maximize="no"), TypeError, "maximize must be True or False; got 'no'"),
    (lambda: door.Adam([np.zeros(2)], check_finite=1), TypeError, "check_finite must be True or False; got 1"),
    (lambda: door.Optimizer([np.zeros(2)]), TypeError, "Optimizer is a base"),
    (lambda: door.from_rule(max), TypeError, "rule must be made by @stepwell.rule.rule"),  # pyright: ignore
    (lambda: door.from_rule([]), TypeError, "rule must be made by @stepwell.rule.rule; got []"),  # pyright: ignore
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "words"), CONSTRUCTION, ids=[words for *_, words in CONSTRUCTION])
def test_an_optimizer_that_cannot_be_made(make, kind, words):
    with pytest.raises(kind) as error:
        make()
    assert type(error.value) is kind
    assert words in str(error.value)


def optimizer(**options: Any) -> door.Optimizer:
    """One that has made a step."""
    params = {"w": np.ones((2, 3)), "b": np.ones(3, np.float32)}
    made = door.Adam(params, **options)
    made.step({"w": np.ones((2, 3)), "b": np.ones(3, np.float32)})
    return made


W, B = np.ones((2, 3)), np.ones(3, np.float32)
STEPS = [
    (None, TypeError, "grads must be a dict or a list of arrays; got NoneType"),
    (W, TypeError, "grads must be a dict or a list of arrays; got ndarray"),
    ({"w": W}, KeyError, "'b' is in one only"),
    ({"w": W, "b": B, "c": B}, KeyError, "'c' is in one only"),
    ([W, B], KeyError, "grads must have the parameters' keys"),
    ({"w": W.T, "b": B}, ValueError, "grads['w'] must be an array of float64 of shape (2, 3); got float64 of shape"),
    ({"w": W, "b": B[:1]}, ValueError, "grads['b'] must be an array of float32 of shape (3,); got float32 of shape"),
    ({"w": W, "b": B.astype(float)}, ValueError, "grads['b'] must be an array of float32 of shape (3,); got float64"),
    ({"w": W.astype(int), "b": B}, ValueError, "grads['w'] must be an array of float64 of shape (2, 3); got int64"),
    ({"w": W.astype(">f8"), "b": B}, ValueError, "grads['w'] must be an array of float64"),
    ({"w": W.tolist(), "b": B}, ValueError, "grads['w'] must be an array of float64 of shape (2, 3); got list"),
    ({"w": 1.0, "b": B}, ValueError, "got float"),
    ({"w": np.float64(1), "b": B}, ValueError, "of shape (2, 3); got float64 of shape ()"),
]  # fmt: skip


@pytest.mark.parametrize(("grads", "kind", "words"), STEPS, ids=[words for *_, words in STEPS])
def test_gradients_that_do_not_fit(grads, kind, words):
    made = optimizer(ema=0.5, clip_norm=1.0)
    before = snapshot.of(made)
    with pytest.raises(kind) as error:
        made.step(grads)
    assert words in str(error.value)
    assert snapshot.of(made) == before
    made.step({"w": W, "b": B})  # and it goes on
    assert made.updates == 2


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_check_finite_refuses_before_anything_changes(odd):
    made = optimizer(check_finite=True)
    before = snapshot.of(made)
    grads = {"w": W, "b": B.copy()}
    grads["b"][1] = odd
    with pytest.raises(FloatingPointError, match="the gradient of 'b' has a NaN or an infinity; nothing was changed"):
        made.step(grads)
    assert snapshot.of(made) == before


@pytest.mark.parametrize("rate", [-1.0, np.nan, np.inf, "fast", None])
def test_a_schedule_that_leaves_its_domain(rate):
    made = optimizer(lr=lambda step: 0.1 if step < 1 else rate)
    before = snapshot.of(made)
    with pytest.raises(
        (TypeError, ValueError), match="lr, the schedule's value at step 1, must be a finite number ≥ 0"
    ):
        made.step({"w": W, "b": B})
    assert snapshot.of(made) == before


def replaced(name: str, by: np.ndarray) -> tuple[door.Optimizer, np.ndarray]:
    made = optimizer()
    made.params[name] = by
    return made, by


@pytest.mark.parametrize(
    "by", [np.ones(30_000), np.ones((3, 2)), np.ones((2, 3), np.float32)], ids=lambda x: str(x.shape)
)
def test_an_array_in_the_place_of_one_of_another_kind(by):
    """Its state would be read beyond its end."""
    made, _ = replaced("w", by)
    before = snapshot.of(made)
    with pytest.raises(ValueError, match=r"params\['w'\] is now float\d+ of shape .*; its state m is float64 of shape"):
        made.step({"w": np.ones_like(by), "b": B})
    assert snapshot.of(made) == before


def test_arrays_are_checked_again_when_they_are_others():
    made, _ = replaced("w", frozen_array())
    with pytest.raises(ValueError, match=r"params\['w'\] is read-only"):
        made.step({"w": np.ones(2), "b": B})
    made, _ = replaced("w", np.zeros((2, 3), int))
    with pytest.raises(TypeError, match=r"params\['w'\] must be an array of float16, float32 or float64"):
        made.step({"w": W, "b": B})
    made = optimizer()
    made.params["w"].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\['w'\] is read-only"):
        made.step({"w": W, "b": B})
    made = door.Momentum([np.ones(3), np.ones(3)])
    made.params[1] = made.params[0]
    with pytest.raises(ValueError, match=r"params\[1\] shares memory with params\[0\]"):
        made.step([np.ones(3), np.ones(3)])


def test_arrays_that_interleave_do_not_share():
    whole = np.zeros((4, 4))
    columns = [whole[:, k] for k in range(4)]
    door.GradientDescent(columns, lr=1.0).step([np.full(4, -float(k)) for k in range(4)])
    np.testing.assert_array_equal(whole, np.arange(4.0) * np.ones((4, 1)))


def test_a_rule_that_fails_leaves_its_clock():
    @rule
    def fails_eagerly(g, m, t, *, lr: Rate = 1):
        return lr / (t - 2) * g, m + g

    params = [np.ones((4, 4))[::2]]
    made = door.from_rule(fails_eagerly)(params)
    made.step([np.ones((2, 4))])
    before = snapshot.of(made)
    with pytest.raises(ZeroDivisionError):
        made.step([np.ones((2, 4))])
    assert snapshot.of(made) == before


def test_names_of_the_door():
    assert {kind.rule for kind in map(door.__getattr__, set(door.__all__) - {"Optimizer", "Rows", "from_rule"})} == set(
        rules.named.values()
    )
    with pytest.raises(AttributeError, match="no attribute 'Adamm'"):
        _ = door.Adamm
    from stepwell.numpy.options import KEYWORDS

    assert {*KEYWORDS, "params"} <= RESERVED


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = optimizer()
        made.step({"w": np.full((2, 3), np.inf), "b": np.full(3, np.nan, np.float32)})
    assert cpu.program(made.rule, Stages()).arrays == ("p", "g", "m", "v")
