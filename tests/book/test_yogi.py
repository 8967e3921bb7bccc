"""The section on Yogi: its numbers by other ways, and what would make its claims fail."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stepwell import rules
from stepwell.book import yogi
from tests.book import harness

wrong_lines = partial(harness.wrong_lines, "yogi")


def test_reddis_example_longhand() -> None:
    ends = {}
    for name in ("adam", "yogi"):
        x = v = 0.0
        for t in range(1, 20_001):
            g = 3.0 if t % 3 == 1 else -1.0
            v = 0.1 * v + 0.9 * g * g if name == "adam" else v + 0.9 * g * g * np.sign(g * g - v)
            x = min(1.0, max(-1.0, x - 0.1 / t**0.5 * g / (np.sqrt(v / (1 - 0.1**t)) + 1e-3)))
        ends[name] = x
        path = yogi.online(rules.named[name], 20_000, np.array([3.0, -1.0, -1.0]), bounded=True, **yogi.REDDI)
        assert path[-1] == pytest.approx(x, abs=1e-3)  # where g² = s, Yogi's sign is a matter of rounding
    assert ends == pytest.approx({"adam": 1.0, "yogi": -1.0}, abs=0.002)


@pytest.mark.parametrize("wrong", ["adam", "amsgrad"])
def test_another_rule_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = rules.named[wrong]
    named = {**rules.named, "yogi": other} if wrong == "adam" else {**rules.named, "adam": other}
    monkeypatch.setattr(yogi, "rules", SimpleNamespace(named=named, adam=rules.adam))
    assert len(wrong_lines("divergence")) >= 2


def test_adams_moment_for_yogis_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yogi, "rules", SimpleNamespace(named=rules.named, adam=rules.adam, yogi=rules.adam))
    assert wrong_lines("second_moment") == ["Yogi: |Δs| = (1-β₂)g²"]
    harness.trains_with(monkeypatch, rules.adam)
    assert any("one training, twice" in what for what in wrong_lines("training"))


def test_a_tamer_beta_does_not_diverge() -> None:
    """The example is one of its setting: Adam's usual averages remember the large gradient."""

    def end(**hyper: Any) -> float:
        return float(yogi.online(rules.adam, 20_000, np.array([3.0, -1.0, -1.0]), bounded=True, **hyper)[-1])

    assert end() < -0.99
    assert end(**yogi.REDDI) > 0.99
