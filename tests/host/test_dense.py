"""The tables that the dense steps of host memory keep: made anew for whatever is not as it was."""

import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stepwell.host import dense
from stepwell.host.engine import Engine, Slot
from stepwell.kernels import Stages
from stepwell.rules import adam, nadam

SIZES = ((3, "float64"), (300, "float32"), (5000, "float64"))


class Training:
    """Parameters that an engine steps, and the same computed by the rule itself."""

    def __init__(self, rule=adam):
        self.hyper = rule.complete({"lr": 0.1})
        self.engine, self.rng, self.rule = Engine(rule, Stages()), np.random.default_rng(0), rule
        self.params = [self.rng.standard_normal(n).astype(dtype) for n, dtype in SIZES]
        self.states = [self.engine.start(p, self.hyper) for p in self.params]
        self.expected = [(p.astype("float64"), self.doubled(s)) for p, s in zip(self.params, self.states, strict=True)]

    def doubled(self, state):
        return {name: np.array(state[name], "float64") for name in self.rule.state}

    def gradients(self):
        return [self.rng.standard_normal(p.shape).astype(p.dtype) for p in self.params]

    def step(self, gradients, order=(0, 1, 2), rates=(0.1, 0.1, 0.1)):
        self.engine.step(
            [Slot(k, self.params[k], gradients[k], self.states[k], {**self.hyper, "lr": rates[k]}) for k in order]
        )
        for k in order:
            p, state = self.expected[k]
            given = {"p": p, "g": gradients[k].astype("float64"), "t": self.states[k]["step"], **state}
            change, *new = self.rule.bind(given, {**self.hyper, "lr": rates[k]})
            self.expected[k] = p - change, dict(zip(self.rule.state, new, strict=True))

    def check(self):
        for p, (expected, _) in zip(self.params, self.expected, strict=True):
            near = 1e-5 if p.dtype == np.float32 else 1e-11
            assert p == pytest.approx(expected, rel=near, abs=near)
            assert np.isfinite(p).all()


@pytest.fixture
def made(monkeypatch):
    """How many tables were made."""
    count, table = [], dense.Dense._table
    monkeypatch.setattr(dense.Dense, "_table", lambda *args: count.append(1) or table(*args))
    return count


@pytest.mark.parametrize("rule", [adam, nadam], ids=lambda rule: rule.name)
def test_tables_of_the_same_arrays_are_kept(rule, made):
    training = Training(rule)
    gradients = training.gradients()
    for k in range(4):
        for g in gradients:
            g += k  # in place
        training.step(gradients, rates=(0.1 / (k + 1), 0.1, 0.2))
    training.check()
    assert len(made) == 2  # one a dtype


def test_other_gradients_are_followed(made):
    training = Training()
    for _ in range(3):
        training.step(training.gradients())
    training.check()
    assert len(made) == 2


def test_no_array_is_held():
    training = Training()
    gradients = training.gradients()
    training.step(gradients)
    training.step(gradients)
    gradients[1].resize(100)  # which NumPy refuses where others point to it
    refs = [weakref.ref(a) for a in (gradients[0], training.params[0], training.states[0]["m"])]
    del gradients, training.params, training.states, training.expected
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3


def test_a_parameter_whose_memory_moved_is_followed():
    training = Training()
    gradients = training.gradients()
    training.step(gradients)
    p, before = training.params[2], training.params[2].copy()
    p.resize(10_000_000, refcheck=False)
    p.resize(before.size, refcheck=False)
    others = [np.zeros_like(p) for _ in range(50)]  # one of them may lie where it lay
    training.step(gradients)
    training.check()
    assert not any(other.any() for other in others)


def test_a_gradient_of_another_form_has_another_table(made):
    training = Training()
    for k in range(3):
        gradients = training.gradients()
        if k == 1:
            gradients[2] = gradients[2][::-1]
        training.step(gradients)
    training.check()
    assert len(made) == 6


def test_a_step_that_was_interrupted_leaves_no_tables(monkeypatch):
    training = Training()
    training.step(training.gradients())
    training.step(training.gradients(), (0, 2))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dense.Dense, "_made", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.step(training.gradients(), (0, 1, 2))
    for _ in range(2):
        training.step(training.gradients())
    training.check()
    assert [state["step"] for state in training.states] == [4, 3, 4]


def test_threads_may_step_parameters_of_their_own():
    training, halves = Training(), ((0, 2), (1,))
    gradients = training.gradients()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda order: [training.step(gradients, order) for _ in range(200)], halves))
    finally:
        sys.setswitchinterval(before)
    training.check()


def test_parameters_and_state_that_were_replaced_are_followed():
    training = Training()
    gradients = training.gradients()
    training.step(gradients)
    left = training.params[2], training.states[2]["m"]
    before = [a.copy() for a in left]
    training.params[2], training.states[2]["m"] = (a.copy() for a in left)
    training.step(gradients)
    training.check()
    assert all(np.array_equal(a, b) for a, b in zip(left, before, strict=True))


def test_some_and_in_another_order():
    training = Training()
    gradients = training.gradients()
    for order in ((0, 1, 2), (2, 0), (0, 2), (1,), (2, 1, 0)):
        training.step(gradients, order)
    training.check()


def test_what_no_kernel_can_read_is_stepped_too():
    training = Training()
    gradients = training.gradients()
    gradients[1] = np.repeat(gradients[1], 2)[::2]
    assert not gradients[1].flags.c_contiguous
    for _ in range(2):
        training.step(gradients)
    training.check()
