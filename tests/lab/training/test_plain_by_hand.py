"""A run is the training that one would write by hand, to the last digit."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stepwell import schedules
from stepwell.lab.candidates import Candidate, choose
from stepwell.lab.randomness import sow
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial
from tests.lab.small import BATCH, EVERY, HELD, ROWS, SGD, STEPS, data, model, task


@pytest.fixture
def small() -> Task:
    return task()


def _order(seed: int) -> Iterator[Tensor]:
    """Batches of rows, each pass in a new order, without end."""
    generator = np.random.default_rng(seed)
    while True:
        yield from torch.from_numpy(generator.permutation(ROWS)).split(BATCH)


def by_hand(
    make: Callable[..., Any], seed: int, rate: Callable[[int], float], clip: float = math.inf
) -> tuple[list[float], list[float], list[float]]:
    """The loop that everybody writes: the loss of each batch, and what is measured before the first and every fourth
    step, and after the last."""
    x, y = data(ROWS, 0)
    held, labels = data(HELD, 1)
    torch.manual_seed(seed)
    net = model()
    optimizer = make(net.parameters(), lr=rate(0))
    trained, losses, scores, order = [], [], [], _order(seed)

    def measure() -> None:
        net.eval()
        with torch.no_grad():
            outputs = net(held)
        net.train()
        losses.append(nn.functional.cross_entropy(outputs, labels).item())
        scores.append((outputs.argmax(1) == labels).double().mean().item())

    measure()
    sow(seed, 1)
    for k in range(STEPS):
        rows = next(order)
        optimizer.param_groups[0]["lr"] = rate(k)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        loss.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        trained.append(loss.item())
        if (k + 1) % EVERY == 0 or k + 1 == STEPS:
            measure()
    return trained, losses, scores


@pytest.mark.parametrize("seed", [0, 5])
def test_a_run_is_the_loop_by_hand(small: Task, seed: int) -> None:
    run = train(small, Trial("sgd", 0.3, seed, STEPS), SGD)
    _, losses, scores = by_hand(torch.optim.SGD, seed, lambda k: 0.3)
    assert run.curve["step"] == [0, 4, 8, 12, 16, 18]
    assert run.curve["loss"] == pytest.approx(losses, rel=1e-14)
    assert run.curve["metric"] == pytest.approx(scores, rel=1e-14)
    assert (run.loss, run.metric, run.best) == (run.curve["loss"][-1], run.curve["metric"][-1], min(run.curve["loss"]))
    assert (run.steps, run.taken, run.status) == (STEPS, STEPS, "done")


@pytest.mark.parametrize("name", ["rule", "torch's own"])
def test_a_schedule_and_clipping_are_those_by_hand(small: Task, name: str) -> None:
    task = replace(small, schedule=schedules.cosine, clip_norm=0.2)
    factor = schedules.cosine(STEPS)
    run = train(task, Trial("sgd", 2.0, 1, STEPS), SGD if name != "rule" else choose([_gradient_descent()]))
    _, losses, _ = by_hand(torch.optim.SGD, 1, lambda k: 2.0 * factor(k), clip=0.2)
    assert run.curve["loss"] == pytest.approx(losses, rel=1e-6)  # the clip factors of the two differ by torch's 1e-6
    _, unclipped, _ = by_hand(torch.optim.SGD, 1, lambda k: 2.0 * factor(k))
    assert run.loss != pytest.approx(unclipped[-1], rel=1e-3)
    _, constant, _ = by_hand(torch.optim.SGD, 1, lambda k: 2.0, clip=0.2)
    assert run.loss != pytest.approx(constant[-1], rel=1e-3)


def _gradient_descent() -> Any:
    return Candidate("sgd", rule=choose(["gradient_descent"])["gradient_descent"].rule)


def test_a_rule_with_other_hyperparameters_is_torchs_optimizer_with_them(small: Task) -> None:
    run = train(small, Trial("adam", 0.05, 0, STEPS, (("beta1", 0.5), ("eps", 1e-3))))
    _, losses, _ = by_hand(lambda p, lr: torch.optim.Adam(p, lr, betas=(0.5, 0.999), eps=1e-3), 0, lambda k: 0.05)
    assert run.curve["loss"] == pytest.approx(losses, rel=1e-10)
    plain = train(small, Trial("adam", 0.05, 0, STEPS))
    assert run.loss != pytest.approx(plain.loss, rel=1e-3)


def test_without_validation_the_loss_is_the_mean_training_loss_since_the_last_measurement(small: Task) -> None:
    run = train(replace(small, validation=None, metric=None), Trial("sgd", 0.3, 2, STEPS), SGD)
    trained, _, _ = by_hand(torch.optim.SGD, 2, lambda k: 0.3)
    ends = [0, 4, 8, 12, 16, 18]
    means = [float(np.mean(trained[low:high])) for low, high in itertools.pairwise(ends)]
    assert run.curve["step"] == ends
    assert run.curve["loss"] == pytest.approx([trained[0], *means], rel=1e-12)
    assert (run.metric, run.curve["metric"]) == (None, [])


def test_measuring_more_often_changes_no_step(small: Task) -> None:
    often, seldom = (train(replace(small, every=n), Trial("sgd", 0.3, 0, STEPS), SGD) for n in (1, STEPS))
    assert len(often.curve["loss"]) == STEPS + 1
    assert (often.loss, often.metric) == (seldom.loss, seldom.metric)
    assert seldom.curve["step"] == [0, STEPS]


def test_what_is_measured_in_parts_is_the_mean_over_rows() -> None:
    x = torch.arange(50, dtype=torch.float64)[:, None]
    task = Task(
        model=lambda: nn.Linear(1, 1).double(), data=(x, x), validation=[(x[:20],) * 2, (x[20:],) * 2],
        loss=lambda output, target: target.mean() + 0 * output.sum(), metric=lambda output, target: target.max(),
    )  # fmt: skip
    run = train(task, Trial("sgd", 0.0, 0, 1), SGD)
    assert run.loss == pytest.approx(49 / 2)
    assert run.metric == pytest.approx((20 * 19 + 30 * 49) / 50)
