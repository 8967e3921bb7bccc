"""The section on Adadelta: its numbers by other ways, and what would make its claims fail."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stepwell import rules
from stepwell.book import adadelta
from stepwell.rule import rule, sqrt
from tests.book import harness

wrong_lines = partial(harness.wrong_lines, "adadelta")


def test_a_step_longhand() -> None:
    s = d = 0.0
    for g in (3.0, -0.5, 2.0):
        s_new = 0.9 * s + 0.1 * g**2
        expected = np.sqrt((d + 1e-5) / (s_new + 1e-5)) * g
        step, s, d_new = rules.adadelta(g, s, d, eps=1e-5)
        assert step == pytest.approx(expected, rel=1e-13)
        assert d_new == pytest.approx(0.9 * d + 0.1 * expected**2, rel=1e-13)
        d = d_new
    assert rules.adadelta(7.0, 0.0, 0.0, eps=1e-5)[0] == pytest.approx(0.01, rel=1e-3)


def test_another_epsilon_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adadelta, "EPS", 1e-6)
    assert wrong_lines("first_steps")
    monkeypatch.setattr(adadelta, "SETTINGS", [replace(adadelta.SETTINGS[0], hyper={"rho": 0.9, "eps": 1e-6})])
    monkeypatch.setattr(adadelta, "BOOK", {"rho": 0.9, "eps": 1e-6})
    assert sum("loss after 2 epochs" in what for what in wrong_lines("training")) == 2


@rule
def impatient(g, s, d, *, rho: float = 0.9, eps: float = 1e-5):
    """Adadelta whose step already counts in the size that it is scaled by."""
    s = rho * s + (1 - rho) * g**2
    ratio = (d + eps) / (s + eps)
    d = rho * d + (1 - rho) * ratio * g**2
    return sqrt((d + eps) / (s + eps)) * g, s, d


def test_another_order_of_its_lines_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adadelta, "adadelta_in_place", impatient)
    assert len(wrong_lines("without_rescaled")) == 2
    harness.trains_with(monkeypatch, impatient)
    assert any("one training, twice" in what for what in wrong_lines("training"))
