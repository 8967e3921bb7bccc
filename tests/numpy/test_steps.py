"""Steps over NumPy arrays: every rule and option against the rule itself, whatever the arrays look like in memory."""

import math
from typing import Any

import numpy as np
import pytest

import stepwell.numpy as door
from stepwell import rules, schedules
from stepwell.kernels import cpu
from stepwell.rule import Decay, Rate, rule, sign
from tests.numpy.reference import assert_close, decades, trained

SHAPES = [(3,), (), (0,), (17,), (4, 5), (2, 3, 7), (16385,)]
EVERY_RULE = list(rules.named.values())


def parameters(dtype: str = "float64", shapes: list[tuple[int, ...]] = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [np.asarray(0.01 * rng.standard_normal(shape)).astype(dtype) for shape in shapes]


def fit(kind: type[door.Optimizer], params: Any, gradients: list[Any], **options: Any) -> door.Optimizer:
    optimizer = kind(params, **options)
    for grads in gradients:
        optimizer.step(grads)
    return optimizer


@pytest.fixture(params=["kernel", "eager"])
def engine(request, monkeypatch) -> str:
    if request.param == "eager":
        monkeypatch.setattr(cpu, "usable", lambda: False)
    return request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", EVERY_RULE, ids=lambda r: r.name)
def test_every_rule(given, dtype, engine):
    params, gradients = parameters(dtype), decades(SHAPES, dtype)
    expected = trained(given, params, gradients, lr=0.1)
    fit(getattr(door, "".join(map(str.capitalize, given.name.split("_")))), params, gradients, lr=0.1)
    assert_close(params, expected, passed=0.1)  # a first step is about as large as the rate


OPTIONS = [
    {"weight_decay": 0.01}, {"maximize": True}, {"clip_norm": 1e-3}, {"clip_norm": 1e6}, {"ema": 0.5},
    {"beta1": 0.5, "beta2": 0.6, "eps": 0.1}, {"check_finite": True},
    {"weight_decay": 0.01, "maximize": True, "clip_norm": 0.1, "ema": 0.9, "check_finite": True},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", [door.Adam, door.Adamw], ids=lambda k: k.__name__)
def test_every_option(kind, options, engine):
    params, gradients = parameters(), decades(SHAPES, "float64")
    expected = trained(kind.rule, params, gradients, lr=0.1, **options)
    optimizer = fit(kind, params, gradients, lr=0.1, **options)
    averages = [optimizer.state[k]["ema"] for k in range(len(params))] if "ema" in options else []
    assert_close([*params, *averages], expected)


def test_a_dict_and_a_list_are_the_same():
    listed, gradients = parameters(), decades(SHAPES, "float64")
    named = {f"p{k}": p.copy() for k, p in enumerate(listed)}
    fit(door.Nadam, listed, gradients)
    fit(door.Nadam, named, [{f"p{k}": g for k, g in enumerate(grads)} for grads in gradients])
    for ours, theirs in zip(named.values(), listed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_gradient_that_is_none_leaves_its_array_and_its_clock():
    params = [np.ones(2), np.ones(2)]
    optimizer = door.Adam(params, lr=0.1)
    optimizer.step([np.ones(2), None])
    assert params[1].tolist() == [1.0, 1.0]
    assert 1 not in optimizer.state
    optimizer.step([None, None])
    assert optimizer.state[0]["step"] == 1
    assert optimizer.updates == 2


def layouts(values: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """The same 6 by 4 numbers in memory in every way."""
    plain = values.astype(dtype)
    wide = np.full((12, 8), 99, dtype)
    wide[::2, ::2] = plain
    turned = np.asfortranarray(plain)
    buffer = np.zeros(plain.nbytes + 1, np.uint8)
    unaligned = buffer[1:].view(dtype).reshape(6, 4)
    unaligned[:] = plain
    backwards = plain[::-1].copy()[::-1]
    return {"dense": plain.copy(), "strided": wide[::2, ::2], "fortran": turned, "unaligned": unaligned,
            "backwards": backwards, "transposed": plain.T.copy().T}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("of_gradient", layouts(np.zeros((6, 4)), "float32"))
@pytest.mark.parametrize("of_parameter", layouts(np.zeros((6, 4)), "float32"))
def test_every_layout_in_memory(of_parameter, of_gradient, dtype):
    rng = np.random.default_rng(3)
    start, steps = 0.1 * rng.standard_normal((6, 4)), rng.standard_normal((3, 6, 4))
    p = layouts(start, dtype)[of_parameter]
    gradients = [[layouts(g, dtype)[of_gradient]] for g in steps]
    whole = p.base if of_parameter == "strided" else None
    around = None if whole is None else whole.copy()
    expected = trained(rules.adam, [p], gradients, lr=0.1, ema=0.5, eps=1e-2)
    optimizer = fit(door.Adam, [p], gradients, lr=0.1, ema=0.5, eps=1e-2)
    assert_close([p, optimizer.state[0]["ema"]], expected)
    if around is not None:
        around[::2, ::2] = p
        np.testing.assert_array_equal(whole, around)  # what lies between the elements is as it was


def test_half_precision_is_computed_in_single(engine):
    """The square of 300 is beyond float16, the mean of such squares is not."""
    params = [np.zeros(5, np.float16), np.zeros((4, 4), np.float16)[::2]]
    fit(door.Adam, params, [[np.full(p.shape, 300, np.float16) for p in params]] * 2, lr=0.25)
    for p in params:
        np.testing.assert_allclose(p, -0.5, rtol=2e-3)


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    params = [np.linspace(-1, 1, 40).astype(bfloat16), np.ones((6, 4), bfloat16)[::2, ::2]]
    gradients = [[np.full(p.shape, 0.5 + k, bfloat16) for p in params] for k in range(3)]
    start = [p.astype(np.float64) for p in params]
    fit(door.Momentum, params, gradients, lr=0.125, beta=0.5)
    expected = trained(rules.momentum, start, gradients, lr=0.125, beta=0.5)
    for ours, theirs in zip(params, expected, strict=True):
        np.testing.assert_allclose(ours.astype(np.float64), theirs, rtol=2**-7, atol=2**-7)


def test_a_gradient_may_be_an_array_of_the_parameters():
    """On x·y the gradient of each is the other; on x²/2 it is x itself. All are read before any is written."""
    x, y, z = np.arange(1.0, 9.0), np.arange(11.0, 19.0), np.ones(8)
    params = {"x": x, "y": y, "z": z, "pair": np.zeros(16)}
    grads = {"x": y, "y": x, "z": z, "pair": np.concatenate([x, y])}
    old = {name: p.copy() for name, p in params.items()}
    door.GradientDescent(params, lr=0.5).step(grads)
    np.testing.assert_array_equal(x, old["x"] - 0.5 * old["y"])
    np.testing.assert_array_equal(y, old["y"] - 0.5 * old["x"])
    np.testing.assert_array_equal(z, 0.5 * old["z"])


def test_a_gradient_may_overlap_its_parameter():
    for shift in (1, -1):
        buffer = np.arange(100_000, dtype=np.float64)
        p, g = (buffer[1:], buffer[:-1]) if shift > 0 else (buffer[:-1], buffer[1:])
        expected = p - 0.5 * g
        door.GradientDescent([p], lr=0.5).step([g])
        np.testing.assert_array_equal(p, expected)


def test_a_rule_of_the_user(engine):
    @rule
    def signed_momentum(g, m, *, lr: Rate = 0.1, beta: Decay = 0.9):
        """The sign of momentum."""
        m = beta * m + (1 - beta) * g
        return lr * sign(m), m

    kind = door.from_rule(signed_momentum)
    assert (kind.__name__, kind.rule) == ("SignedMomentum", signed_momentum)
    assert kind is door.from_rule(signed_momentum)
    assert "The sign of momentum." in (kind.__doc__ or "")
    params, gradients = parameters(), decades(SHAPES, "float64")
    expected = trained(signed_momentum, params, gradients, lr=0.25, maximize=True)
    fit(kind, params, gradients, lr=0.25, maximize=True)
    assert_close(params, expected)


@pytest.mark.parametrize(
    "schedule",
    [lambda k: 0.1 / (1 + k), schedules.warmup(3).then(schedules.cosine(5)), np.linspace(0.5, 0.1, 6).__getitem__],
)
def test_the_rate_may_be_a_schedule(schedule):
    params, gradients = parameters(), decades(SHAPES, "float64")
    expected = trained(rules.adam, params, gradients, lr=schedule)
    optimizer = fit(door.Adam, params, gradients, lr=schedule)
    assert_close(params, expected)
    assert optimizer.hyper["lr"] == schedule(5)


def test_what_is_not_finite_is_followed_without_a_word(engine):
    """As NumPy computes, but in silence: an infinite norm clips to 0, and NaN stays in its element."""
    params = [np.zeros((4, 4))[::2, ::2], np.zeros(3)]
    gradients = [[np.array([[np.nan, 1.0], [np.inf, 2.0]]), np.array([1.0, -np.inf, np.nan])]]
    fit(door.Adam, params, gradients, lr=0.1)
    np.testing.assert_allclose(params[0], [[np.nan, -0.1], [np.nan, -0.1]])
    np.testing.assert_allclose(params[1], [-0.1, np.nan, np.nan])
    params = [np.ones(2)]
    fit(door.GradientDescent, params, [[np.array([1e200, 1.0])]], lr=1.0, clip_norm=1.0)
    np.testing.assert_array_equal(params[0], [1.0, 1.0])
    half = [np.ones((4, 4), np.float16)[::2]]
    fit(door.GradientDescent, half, [[np.full((2, 4), -60000, np.float16)]], lr=2.0)
    assert np.isinf(half[0]).all()


def test_scalar_state_is_one_number():
    optimizer = fit(door.Nadam, [np.zeros(3)], [[np.ones(3)]] * 2)
    product = optimizer.state[0]["mu_product"]
    assert product.shape == ()
    assert math.isclose(product, np.prod([0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (1, 2)]))


def test_an_array_put_in_the_place_of_another_is_stepped_from_then_on():
    params = {"w": np.zeros(2)}
    optimizer = door.Momentum(params, lr=1.0, beta=0.5)
    optimizer.step({"w": np.ones(2)})
    params["w"] = np.full(2, 10.0)
    optimizer.step({"w": np.ones(2)})
    assert params["w"].tolist() == [8.5, 8.5]
