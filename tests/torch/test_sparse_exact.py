"""Sparse gradients with sparse="exact": training ends where the dense optimizer's does."""

from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.torch as door
from tests.torch.harness import absent, assert_same_state, parameters, twins
from tests.torch.sparse import (
    LAYERS,
    ROWS,
    WIDTH,
    SparsePair,
    Trained,
    assert_models_agree,
    coo,
    double,
    error,
    gradient,
)

STEPS = 80
TWO = ("Embedding", "EmbeddingBag of sums")
DECAY: dict[str, Any] = {"weight_decay": 0.05}
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("Adam", {"lr": 0.02}),
    ("Adam", {"lr": 0.02, "amsgrad": True, **DECAY}),
    ("AdamW", {"lr": 0.02, "betas": (0.5, 0.9)}),
    ("AdamW", {"lr": 0.02, "amsgrad": True, **DECAY}),
    ("SGD", {"lr": 0.1, **DECAY}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, **DECAY}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, **DECAY}),
    ("RMSprop", {"lr": 0.02}),
    ("RMSprop", {"lr": 0.002, "momentum": 0.9, "centered": True, "eps": 1e-3, **DECAY}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, **DECAY}),
    ("Adadelta", {**DECAY}),
    ("NAdam", {"lr": 0.02, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.02, "decoupled_weight_decay": True, **DECAY}),
    ("RAdam", {"lr": 0.02, "decoupled_weight_decay": True, **DECAY}),
    ("RAdam", {"lr": 0.02, "betas": (0.5, 0.8)}),
    ("Adamax", {"lr": 0.02, **DECAY}),
    ("Yogi", {"lr": 0.02}),
    ("Lion", {"lr": 0.01}),
    ("Lion", {"lr": 0.01, **DECAY}),
]
EVERY = pytest.mark.parametrize(
    ("name", "options"), OPTIMIZERS, ids=[f"{n}({', '.join(f'{k}={v}' for k, v in o.items())})" for n, o in OPTIMIZERS]
)


def trained(name: str, options: dict[str, Any], kinds: Any = TWO, torchs: bool = False) -> Trained:
    """The optimizer of that name on both networks; for the dense one torch's own, if asked."""
    dense: Any = getattr(torch.optim, name) if torchs else getattr(door, name)
    return Trained(
        kinds,
        lambda net: getattr(door, name)(net.parameters(), sparse="exact", **options),
        lambda net: dense(net.parameters(), **options),
    )


@pytest.mark.parametrize("surround", [{}, {"ema": 0.9, "clip_norm": 0.5}], ids=["alone", "clipped and averaged"])
@EVERY
def test_training_is_that_of_the_dense_optimizer(name: str, options: dict[str, Any], surround: dict[str, Any]) -> None:
    with double():
        trained(name, options | surround).train(STEPS).assert_agree(1e-12)


@EVERY
def test_and_of_torchs_own(name: str, options: dict[str, Any]) -> None:
    if hasattr(torch.optim, name):
        with double():
            trained(name, options, torchs=True).train(STEPS).assert_agree(1e-12)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_that_has_sparse_gradients(kind: str, name: str) -> None:
    with double():
        trained(name, {"momentum": 0.9} if name == "SGD" else {}, (kind, kind)).train(STEPS).assert_agree(1e-12)


@EVERY
def test_single_precision(name: str, options: dict[str, Any]) -> None:
    """On the same gradients; in training, differences of rounding would grow."""
    ps = parameters([(ROWS, WIDTH), (5, 40)], torch.float32)
    qs = twins(ps)
    mine, yours = (getattr(door, name)(x, **options, sparse="exact") for x in (ps, qs))
    for step in range(STEPS):
        for k, (p, q) in enumerate(zip(ps, qs, strict=True)):
            p.grad = None if absent(step, k) else gradient(p.shape, p.dtype, step, k)
            q.grad = None if absent(step, k) else gradient(p.shape, p.dtype, step, k).to_dense()
        mine.step()
        yours.step()
    mine.flush()
    assert_same_state(mine, yours, "in the end", 1e-6)


@pytest.mark.parametrize(
    "more",
    [{}, {"nesterov": True}, {"dampening": 0.3}, {"maximize": True}],
    ids=["plain", "nesterov", "dampening", "maximize"],
)
@pytest.mark.parametrize("dims", [1, 2])
def test_momentum_on_sparse_gradients_is_exact_in_torch_too(more: dict[str, Any], dims: int) -> None:
    """Its sum of gradients decays in every row, and moves every row."""
    both = SparsePair(
        lambda params: door.SGD(params, lr=0.1, momentum=0.9, sparse="exact", **more),
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, foreach=False, **more),
        [(30, 4), (5, 3)],
        dims=dims,
    )
    for _ in range(STEPS // 2):
        both.give()
        both.mine.step()
        both.yours.step()
        both.steps += 1
    cast(door.Optimizer, both.mine).flush()
    for p, q in zip(both.ps, both.qs, strict=True):
        buffer = both.yours.state[q]["momentum_buffer"].to_dense()
        assert error(p, q) <= 1e-12
        assert error(both.mine.state[p]["momentum_buffer"], buffer) <= 1e-12


def groups(net: Any) -> list[dict[str, Any]]:
    return [
        {"params": net.tables[0].parameters(), "lr": 0.05, "betas": (0.5, 0.9)},
        {"params": net.head.parameters(), "weight_decay": 0.1},
        {"params": net.tables[1].parameters(), "maximize": True},
    ]


@pytest.mark.parametrize("mode", ["lazy", "exact"])
def test_groups_and_schedules(mode: str) -> None:
    """Each step that a row has missed is made up for with the rate that it had."""
    with double():
        both = Trained(TWO, lambda net: door.AdamW(groups(net), lr=0.01, sparse=mode))
        schedulers = [
            torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=STEPS, cycle_momentum=True)
            for optimizer in (both.mine, both.yours)
        ]
        for _ in range(STEPS):
            both.train(1)
            for scheduler in schedulers:
                scheduler.step()
        if mode == "exact":
            both.assert_agree(1e-12)
        else:
            with pytest.raises(AssertionError, match=r"tables\.0\.weight"):
                both.assert_agree(1e-3)


def test_a_rate_that_is_a_function_of_the_step() -> None:
    with double():
        schedule: Any = lambda t: 0.1 / (1 + t)  # noqa: E731
        both = Trained(TWO, lambda net: door.RMSprop(net.parameters(), lr=schedule, momentum=0.5, sparse="exact"))
        both.train(STEPS).assert_agree(1e-12)


@pytest.mark.parametrize("name", ["Adam", "SGD", "AdagradRowwise"])
def test_a_table_of_two_layers(name: str) -> None:
    def sharing(net: Any) -> Any:
        net.tables[1].weight = net.tables[0].weight
        return getattr(door, name)(net.parameters(), lr=0.05, weight_decay=0.05, sparse="exact")

    with double():
        Trained(TWO, sharing).train(STEPS).assert_agree(1e-12)


KINDS = {"sparse": lambda g: g, "dense": lambda g: g.to_dense(), "none": lambda g: None}


@given(
    st.sampled_from(["Adam", "SGD", "NAdam"]),
    st.lists(st.tuples(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 9), max_size=6)), max_size=12),
    st.sampled_from([None, 0.8]),
)
@settings(max_examples=60)
def test_any_row_of_gradients_sparse_dense_and_none(name: str, steps: Any, ema: float | None) -> None:
    ps = parameters([(10, 3), (4,)], torch.float64)
    qs = twins(ps)
    options = {"lr": 0.1, "weight_decay": 0.1, "ema": ema} | ({"momentum": 0.9} if name == "SGD" else {})
    mine, yours = getattr(door, name)(ps, **options, sparse="exact"), getattr(door, name)(qs, **options)
    for step, (kind, rows) in enumerate(steps):
        g = coo([rows] if rows else torch.zeros(1, 0), torch.full((len(rows), 3), 0.5 - step % 3).double(), (10, 3))
        ps[0].grad, qs[0].grad = KINDS[kind](g), None if kind == "none" else g.to_dense()
        ps[1].grad, qs[1].grad = torch.ones(4).double(), torch.ones(4).double()
        mine.step()
        yours.step()
        if step % 5 == 3:
            mine.catch_up(ps[0], rows)
    mine.flush()
    assert_same_state(mine, yours, f"after {len(steps)} steps")


def test_averages_are_swapped_in_up_to_date() -> None:
    with double():
        both = trained("Adam", {"lr": 0.02, "ema": 0.9}).train(20)
        with both.mine.swap_ema(), both.yours.swap_ema():
            assert_models_agree(both.net, both.dense, 1e-12)
        both.train(20).assert_agree(1e-12)
