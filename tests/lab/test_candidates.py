"""Which optimizers a search has, by name, by rule and by function; and what it builds of them."""

from typing import Any

import pytest
import torch
from torch import nn

from stepwell.lab.candidates import choose, comparable, existing
from stepwell.rule import Decay, Rate, rule
from stepwell.rules import algorithms, named


@rule
def own(g, *, lr: Rate = 0.25):
    return lr * g


@rule
def endless(g, m, *, lr: Rate, beta: Decay):
    m = beta * m + g
    return lr * m, m


def line(bias: bool = False) -> nn.Linear:
    """A weight of 1 and a gradient of 2; a bias that is not trained."""
    model = nn.Linear(1, 1).double()
    with torch.no_grad():
        model.weight.fill_(1.0)
    model.bias.requires_grad_(bias)
    return model


def stepped(candidate: Any, lr: Any, hyper: Any = (), steps: int = 1) -> list[float]:
    """The weight after each step at a gradient of 2."""
    model = line()
    optimizer = candidate.build(model, lr, dict(hyper))
    weights = []
    for _ in range(steps):
        optimizer.zero_grad()
        (2 * model.weight).sum().backward()
        optimizer.step()
        weights.append(model.weight.item())
    return weights


def test_every_algorithm_is_searched_and_every_form_can_be() -> None:
    assert comparable() == list(named)
    assert list(choose()) == list(algorithms)
    assert list(choose(["adam_nesterov"])) == ["adam_nesterov"]
    assert list(choose(["lion", "adam"])) == ["lion", "adam"]
    assert list(choose("adam")) == list(choose(choose("adam")["adam"])) == ["adam"]
    assert list(choose(own)) == ["own"]


def test_a_search_begins_at_a_rules_default_rate() -> None:
    found = choose(["adam", "adadelta", own])
    assert {name: each.rate for name, each in found.items()} == {"adam": 1e-3, "adadelta": 1.0, "own": 0.25}
    assert choose({"mine": torch.optim.SGD})["mine"].rate == 1e-2


def test_an_unknown_optimizer_is_named_with_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"'lino'; did you mean lion\?"):
        choose(["adam", "lino"])


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (["adam", "adam"], ValueError, "adam twice"),
        ([], ValueError, "one or more; got none"),
        ({}, ValueError, "one or more; got none"),
        ([3], TypeError, "a rule or a rule's name; got 3"),
        ({"adam": 3}, TypeError, r"\['adam'\] must be a function of parameters and lr; got 3"),
        ([endless], ValueError, "endless must have a hyperparameter lr, and a default for each"),
    ],
)
def test_what_cannot_be_chosen_is_refused(wanted: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        choose(wanted)


def test_a_name_a_rule_and_a_function_step() -> None:
    found = choose({"adam": None, "own": own, "torch": torch.optim.SGD})
    assert stepped(found["own"], 0.1) == [0.8]
    assert stepped(found["torch"], 0.1) == pytest.approx([0.8])
    assert stepped(found["adam"], 0.1) == pytest.approx([0.9], abs=1e-8)
    assert stepped(found["torch"], 0.1, {"momentum": 0.5}, 2) == pytest.approx([0.8, 0.5])
    assert stepped(choose(["momentum"])["momentum"], 0.1, {"beta": 0.5}, 2) == pytest.approx([0.8, 0.5])


@pytest.mark.parametrize("each", [own, torch.optim.SGD], ids=["rule", "torch"])
def test_a_rate_may_be_a_function_of_the_step(each: Any) -> None:
    found = choose({"own": each})["own"]
    assert stepped(found, lambda k: 0.1 * (k + 1), steps=3) == pytest.approx([0.8, 0.4, -0.2])


def test_a_function_of_the_step_keeps_the_shares_of_groups() -> None:
    def make(parameters: Any, lr: float) -> torch.optim.Optimizer:
        weight, bias = parameters
        return torch.optim.SGD([{"params": [weight]}, {"params": [bias], "lr": lr / 4}], lr=lr)

    model = line(bias=True)
    start = model.bias.item()
    optimizer = choose({"two": make})["two"].build(model, lambda k: 0.1, {})
    (2 * model.weight + 2 * model.bias).sum().backward()
    optimizer.step()
    assert model.weight.item() == pytest.approx(1 - 0.2)
    assert start - model.bias.item() == pytest.approx(0.2 / 4)


def test_only_what_is_trained_is_stepped() -> None:
    optimizer = choose(["adam"])["adam"].build(line(), 0.1, {})
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def test_an_optimizer_that_there_is_goes_on_from_its_state_and_stays_as_it_was() -> None:
    model = line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    (2 * model.weight).sum().backward()
    optimizer.step()
    before = optimizer.state[model.weight]["momentum_buffer"].clone()
    candidate = existing(model, optimizer)
    assert (candidate.name, candidate.rate) == ("sgd", 0.1)
    assert stepped(candidate, 0.2) == pytest.approx([1 - 0.2 * (0.5 * 2 + 2)])
    assert torch.equal(optimizer.state[model.weight]["momentum_buffer"], before)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("rates", "copied"),
    [([0.0, 0.01], [0.0, 0.5]), ([0.01, 0.0], [0.5, 0.0]), ([0.02, 0.01], [0.5, 0.25]), ([0.0, 0.0], [0.5, 0.5])],
)
def test_groups_keep_their_proportion_to_the_largest_rate(rates: list[float], copied: list[float]) -> None:
    model = line(bias=True)
    groups = [{"params": [p], "lr": lr} for p, lr in zip(model.parameters(), rates, strict=True)]
    candidate = existing(model, torch.optim.SGD(groups, lr=0.1))
    assert candidate.rate == max(rates)
    assert [group["lr"] for group in candidate.build(line(bias=True), 0.5, {}).param_groups] == copied
