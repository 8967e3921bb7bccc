"""Optimizers from rules, the library's and the user's own: equal to the rule itself in double precision."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.torch as door
from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.rule import Decay, Positive, Rate, Rule, exp, log, maximum, minimum, rule, sign, sqrt, tanh, where
from tests.torch.harness import DECADES, SMALL, assert_close, gradient, parameters

# In double precision as elsewhere; in single, what every door promises: 1e-6 of the largest element.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype).removeprefix("torch."))


@rule(start={"s": "first", "n": 2.0})
def everything(p, g, s, n, t, *, lr: Rate, first: Positive = 0.5, beta: Decay = 0.9):
    """A rule of the user's own that uses the whole vocabulary, an array of state, and a number of state."""
    n = n + 1 / t
    s = maximum(beta * s, minimum(abs(g), 10.0)) + 0.1 * tanh(g) ** 2
    size = sqrt(s + exp(-s)) + log(1 + s)
    return lr * where(g > p, sign(g), g / size) + lr * p / n, s, n


@rule
def descent_without_a_rate(g):
    """A rule without hyperparameters."""
    return 0.1 * g


OWN = {"everything": everything, "descent_without_a_rate": descent_without_a_rate}


def telling(rule: Rule) -> dict[str, float]:
    """Hyperparameters under which each of them matters: their defaults, but for zeros and what has none."""
    values = {name: h.default for name, h in rule.hyperparameters.items()}
    return {name: 0.01 if v is None else 0.1 if v == 0 else v for name, v in values.items()}


class Reference:
    """The rule called on NumPy's arrays of double precision."""

    def __init__(self, rule: Rule, start: torch.Tensor, hyper: dict[str, float]):
        self.rule, self.hyper, self.t = rule, hyper, 0
        self.p = start.detach().double().numpy().copy()
        program = cpu.program(rule, Stages())
        rows = {name: program.shape_of(name, self.p.shape) for name in program.row_state}
        self.state = [np.full(rows.get(name, self.p.shape), rule.start_of(name, hyper)) for name in rule.state]

    def step(self, g: np.ndarray) -> None:
        self.t += 1
        named = {"p": self.p, "g": g, "t": self.t, **dict(zip(self.rule.state, self.state, strict=True))}
        change, *self.state = self.rule(*(named[a] for a in self.rule.arguments), **self.hyper)
        self.p = self.p - change


@DTYPES
@pytest.mark.parametrize("name", [*rules.named, *OWN])
def test_every_rule_equals_itself_in_double_precision(name: str, dtype: torch.dtype) -> None:
    chosen = (rules.named | OWN)[name]
    hyper = telling(chosen)
    ps = parameters((0, 1, 17, 1003), dtype)
    optimizer = door.from_rule(chosen)(ps, **hyper)
    references = [Reference(chosen, p, hyper) for p in ps]
    scales: dict[Any, float] = {}
    for step in range(len(DECADES)):
        for k, (p, reference) in enumerate(zip(ps, references, strict=True)):
            p.grad = gradient(p.shape, dtype, step, k).clone()
            reference.step(p.grad.double().numpy())
        optimizer.step()
        for k, (p, reference) in enumerate(zip(ps, references, strict=True)):
            expected = {"p": reference.p, **dict(zip(chosen.state, reference.state, strict=True))}
            for key, value in expected.items():
                actual = (p if key == "p" else optimizer.state[p][key]).detach().double()
                wanted = torch.as_tensor(value).expand(actual.shape) if actual.dim() else torch.as_tensor(value).mean()
                if not actual.dim() and not p.numel():
                    continue  # a number of state has no element of an empty parameter to be compared with
                scales[k, key] = max(scales.get((k, key), 0.0), float(wanted.abs().max()) if wanted.numel() else 0.0)
                assert_close(actual, wanted, f"step {step}, {key}", TOLERANCE[dtype], scales[k, key])
    assert not torch.equal(ps[3], parameters((0, 1, 17, 1003), dtype)[3])


@settings(max_examples=60)
@given(st.sampled_from(list(rules.named)), st.data())
def test_any_hyperparameters(name: str, data: st.DataObject) -> None:
    chosen = rules.named[name]
    bounds = {"beta": (0.0, 0.99), "gamma": (1e-3, 1.0), "rho": (0.0, 0.99), "eps": (1e-8, 1.0)}
    # at γ = 0 centred RMSProp takes the root of a difference of equal numbers: NaN by rounding, torch's too
    hyper = {h: data.draw(st.floats(*bounds.get(h.rstrip("12"), (0.0, 1.0))), label=h) for h in chosen.hyperparameters}
    (p,) = parameters((5,), torch.float64)
    optimizer, reference = door.from_rule(chosen)([p], **hyper), Reference(chosen, p, hyper)
    for step in range(2, 6):
        p.grad = gradient((5,), torch.float64, step).clone()
        reference.step(p.grad.numpy())
        optimizer.step()
        expected = torch.from_numpy(reference.p)
        assert_close(p.detach(), expected, f"step {step}", 1e-10, scale=0.01)  # differences near 0 lose digits


def test_decay_and_maximize_around_a_rule() -> None:
    w = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    w.grad = torch.tensor([3.0], dtype=torch.float64)
    door.from_rule(rules.gradient_descent)([w], 0.5, weight_decay=0.1).step()
    assert w.item() == pytest.approx(2 - 0.5 * (3 + 0.1 * 2))
    door.from_rule(rules.gradient_descent)([w], 0.5, maximize=True).step()
    assert w.item() == pytest.approx(2 - 0.5 * 3.2 + 0.5 * 3)


def test_a_rules_own_decay_is_not_applied_twice() -> None:
    w = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    w.grad = torch.tensor([3.0], dtype=torch.float64)
    door.from_rule(rules.lion)([w], lr=0.5, weight_decay=0.1).step()
    assert w.item() == pytest.approx(2 - 0.5 * (1 + 0.1 * 2))


# --- the class


def test_the_signature_is_the_rules() -> None:
    cls = door.from_rule(everything)
    assert str(inspect.signature(cls)) == (
        "(params, lr, first=0.5, beta=0.9, weight_decay=0.0, *, "
        "maximize=False, clip_norm=None, ema=None, zero_grad=False, check_finite=False, "
        "sparse='lazy', state_dtype=None, rounding='nearest', in_backward=False)"
    )
    assert cls.__name__ == "Everything"
    assert cls.__doc__ == everything.__doc__


@pytest.mark.parametrize("name", rules.named)
def test_every_rule_has_a_signature_that_starts_with_its_rate(name: str) -> None:
    names = list(inspect.signature(door.from_rule(rules.named[name])).parameters)
    assert names[:2] == ["params", "lr"]
    assert set(rules.named[name].hyperparameters) < set(names)


def test_arguments_by_position() -> None:
    group = door.from_rule(everything)(parameters(SMALL, torch.float32), 0.5, 0.25, 0.75).param_groups[0]
    assert (group["lr"], group["first"], group["beta"]) == (0.5, 0.25, 0.75)
    with pytest.raises(TypeError, match="missing a required argument: 'lr'"):
        door.from_rule(everything)(parameters(SMALL, torch.float32))


def test_one_rule_has_one_class() -> None:
    assert door.from_rule(everything) is door.from_rule(everything)
    assert door.from_rule(rules.lion) is door.Lion


def test_every_name_that_is_listed_is_there() -> None:
    assert {"SGD", "Adam", "Lion", "Yogi", "from_rule"} <= set(door.__all__)
    for name in door.__all__:
        assert getattr(door, name) is not None
    assert len({name.lower() for name in door.__all__}) == len(door.__all__)


def test_groups_and_schedules() -> None:
    p, q = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    cls = door.from_rule(rules.gradient_descent)
    optimizer = cls([{"params": [p]}, {"params": [q], "lr": 2.0}], lr=lambda k: 1.0 / (k + 1))
    for _ in range(2):
        p.grad, q.grad = torch.ones(1), torch.ones(1)
        optimizer.step()
    assert (p.item(), q.item()) == (-1.5, -4.0)


# --- copies


def trained(cls: Any) -> tuple[list[torch.Tensor], door.Optimizer]:
    ps = parameters(SMALL, torch.float32)
    optimizer = cls(ps, lr=0.1, ema=0.5)
    for step in range(2):
        for k, p in enumerate(ps):
            p.grad = gradient(p.shape, p.dtype, step, k).clone()
        optimizer.step()
    return ps, optimizer


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("chosen", [everything, rules.lion], ids=["own", "lion"])
def test_copies_of_an_optimizer(chosen: Rule, way: Any) -> None:
    ps, optimizer = trained(door.from_rule(chosen))
    qs, other = way((ps, optimizer))
    assert type(other) is type(optimizer)
    for params, x in ((ps, optimizer), (qs, other)):
        for k, p in enumerate(params):  # a pickle has no gradients
            p.grad = gradient(p.shape, p.dtype, 2, k).clone()
        x.step()
    assert all(map(torch.equal, ps, qs))
    assert all(torch.equal(optimizer.state[p]["ema"], other.state[q]["ema"]) for p, q in zip(ps, qs, strict=True))
    fresh = door.from_rule(chosen)(qs, lr=0.7, ema=0.5)
    fresh.load_state_dict(optimizer.state_dict())
    for x in (optimizer, fresh):
        x.step()
    assert all(map(torch.equal, ps, qs))


def test_a_rule_defined_in_a_function_can_be_copied_though_not_pickled() -> None:
    @rule
    def local(g, m, *, lr: Rate = 0.1):
        return lr * m, g

    ps, optimizer = trained(door.from_rule(local))
    qs, other = copy.deepcopy((ps, optimizer))
    optimizer.step()
    other.step()
    assert all(map(torch.equal, ps, qs))
    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(optimizer)


def test_rules_that_share_a_name_stay_apart() -> None:
    def scaled(by: float) -> Rule:
        @rule
        def twin(g, *, lr: Rate = 1.0):
            return by * lr * g

        return twin

    for by in (1.0, 3.0):
        w = torch.zeros(1, requires_grad=True)
        w.grad = torch.ones(1)
        door.from_rule(scaled(by))([w]).step()
        assert w.item() == -by
