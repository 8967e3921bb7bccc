"""The section on Adam: its numbers by other ways, and what would make its claims fail."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.book import adam
from stepwell.rule import rule, sqrt
from tests.book import harness

wrong_lines = partial(harness.wrong_lines, "adam")


def test_the_numbers_longhand() -> None:
    assert pytest.approx(0.65132, abs=5e-6) == 1 - 0.9**10
    assert 0.1 / np.sqrt(0.001) == pytest.approx(3.16, abs=5e-3)
    m = v = step = 0.0
    for t, g in enumerate((2.0, -1.0, 0.5), 1):
        step, m, v = rules.adam(g, m, v, t, lr=0.01, eps=1e-6)
    m_hat = (0.1 * 0.81 * 2.0 - 0.1 * 0.9 + 0.1 * 0.5) / (1 - 0.9**3)
    v_hat = 0.001 * (0.999**2 * 4.0 + 0.999 + 0.25) / (1 - 0.999**3)
    assert step == pytest.approx(0.01 * m_hat / (np.sqrt(v_hat) + 1e-6), rel=1e-12)


@pytest.mark.parametrize("wrong", ["uncorrected", "ε inside"])
def test_another_rule_in_training_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @rule
    def eps_inside(g, m, v, t, *, lr: float = 0.01, eps: float = 1e-6):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        return lr * m / (1 - 0.9**t) / sqrt(v / (1 - 0.999**t) + 1e4 * eps), m, v

    kinds = {"uncorrected": adam.adam_uncorrected, "ε inside": eps_inside}
    harness.trains_with(monkeypatch, kinds[wrong])
    assert any("one training, twice" in what for what in wrong_lines("training"))


def test_a_late_clock_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(g: Any, m: Any, v: Any, t: int, **hyper: Any) -> Any:
        return rules.adam(g, m, v, t + 1, **hyper)

    monkeypatch.setattr(adam, "rules", SimpleNamespace(adam=late))
    assert {"the first step is η·sgn g", "uncorrected, times that"} <= set(wrong_lines("bias"))


def test_moments_that_are_not_rewritten_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adam, "adam_rewritten", adam.adam_uncorrected)
    assert len(wrong_lines("rewritten")) == 3


def test_the_rewritten_decay_gives_equal_weights_at_first() -> None:
    m = 0.0
    for t, g in enumerate((3.0, 1.0), 1):
        m = adam.adam_rewritten(g, m, 0.0, t)[1]
    assert m == pytest.approx((0.9 * 3.0 + 1.0) / 1.9, rel=1e-14)
