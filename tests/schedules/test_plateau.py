"""Reduce on plateau is torch's, update for update, and resumes."""

import json
import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepwell import schedules

options = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["min", "max"]),
        "factor": st.floats(0.1, 0.9),
        "patience": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 1e-4, 0.1]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "min_lr": st.sampled_from([0.0, 0.05]),
        "eps": st.sampled_from([1e-8, 0.02]),
    }
)
metrics = st.lists(st.floats(-2, 2) | st.sampled_from([1.0, 0.9, math.nan, math.inf]), max_size=40)


def reduced_by_torch(losses, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rates = []
    for loss in losses:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@given(options, metrics)
def test_torch(options, metrics):
    rate = schedules.reduce_on_plateau(0.3, **options)
    assert [rate.update(metric) for metric in metrics] == reduced_by_torch(metrics, **options)


def test_torch_with_default_options_reduces_twice():
    losses = [1.0] * 30
    rate = schedules.reduce_on_plateau(0.3)
    rates = [rate.update(loss) for loss in losses]
    assert rates == reduced_by_torch(losses)
    assert rates[-1] == pytest.approx(0.003)


def test_a_reduction_by_eps_or_less_is_not_made():
    options = {"factor": 0.5, "patience": 0, "eps": 0.1}
    rate = schedules.reduce_on_plateau(0.3, **options)
    rates = [rate.update(1.0) for _ in range(5)]
    assert rates == reduced_by_torch([1.0] * 5, **options) == [0.3, 0.15, 0.15, 0.15, 0.15]


def test_a_call_ignores_the_step():
    rate = schedules.reduce_on_plateau(0.3, patience=0)
    rate.update(1.0)
    assert rate(0) == rate(10**6) == rate.rate == 0.3
    rate.update(torch.tensor(1.0))
    assert rate(0) == rate(10**6) == rate.rate == pytest.approx(0.03)


@pytest.mark.parametrize("saved_at", [0, 1, 7, 20])
def test_resumes(saved_at):
    draw = random.Random(1)
    losses = [draw.random() for _ in range(40)]
    make = lambda: schedules.reduce_on_plateau(0.3, factor=0.5, patience=1, cooldown=2)  # noqa: E731
    whole, before, after = make(), make(), make()
    expected = [whole.update(loss) for loss in losses]
    for loss in losses[:saved_at]:
        before.update(loss)
    after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
    assert [after.update(loss) for loss in losses[saved_at:]] == expected[saved_at:]
    assert len(set(expected)) > 3


def test_another_state_is_refused():
    with pytest.raises(ValueError, match="state must have the keys rate, best"):
        schedules.reduce_on_plateau().load_state_dict({"rate": 0.1})
