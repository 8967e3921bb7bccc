"""The comparison reports what it measures: its measures are right, and equals are called equal."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.book import comparison
from stepwell.book.section import Options, Page, run
from stepwell.lab import tasks


def test_swing_is_that_of_the_last_half() -> None:
    level, wild = np.ones(20), np.ones(20)
    wild[10::2] = 2
    early = np.concatenate([wild[10:], np.ones(10)])
    assert comparison.swing(level) == 0
    assert comparison.swing(early) == 0
    assert comparison.swing(wild) == pytest.approx(np.std([-1, 1, -1, 1, -1, 1, -1, 1, -1], ddof=1))
    assert comparison.swing(np.linspace(3, 1, 20)) == pytest.approx(0)  # a steady fall is no swing
    assert comparison.swing(np.stack([level, wild])).shape == (2,)


def test_the_paired_interval_is_students() -> None:
    first, second = np.array([3.0, 4.0, 6.0, 7.0, 5.0]), np.array([2.0, 4.5, 5.0, 5.0, 4.0])
    mean, low, high, above = comparison.paired(first, second)
    gap = first - second
    assert mean == pytest.approx(0.9)
    assert high - mean == pytest.approx(mean - low) == pytest.approx(2.776445 * gap.std(ddof=1) / np.sqrt(5))
    assert above == 4
    assert comparison.paired(first[:1], second[:1])[1:3] == (-np.inf, np.inf)


def test_a_verdict_needs_an_interval_on_one_side_of_0() -> None:
    words = [comparison.verdict(*interval) for interval in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.1))]
    assert words == ["as the hypothesis has it", "the other way round", "undecided", "undecided"]


def test_training_and_validation_are_of_the_same_runs() -> None:
    task = tasks.digits()
    found = comparison.curves(task, "adam", 0.003, range(2), 1)
    swapped = replace(
        task, data=replace(task.data, measured_inputs=task.data.inputs, measured_targets=task.data.targets)
    )
    again = comparison.curves(swapped, "adam", 0.003, range(2), 1)
    np.testing.assert_array_equal(found["training"], again["validation"])
    assert not np.array_equal(found["training"], found["validation"])
    assert found["training"].shape == (2, len(found["step"]))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RATES": 1, "SEARCHED": 1, "EPOCHS": 2}.items():
        monkeypatch.setattr(comparison, name, value)


def page() -> Page:
    return run(comparison.early_and_late, Options(seeds=2))


@pytest.mark.usefixtures("short")
def test_all_is_reported_and_nothing_claimed() -> None:
    found = page()
    assert [line.holds for line in found.lines] == [None, None]
    assert len(found.tables[0].rows) == 5
    assert {row[3].split()[-1] for row in found.tables[0].rows} == {"2"}
    assert list(found.figures) == ["early_and_late"]


@pytest.mark.usefixtures("short")
def test_a_rule_against_itself_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = comparison.curves
    monkeypatch.setattr(
        comparison, "curves", lambda task, rule, lr, seeds, epochs: curves(task, "adam", 0.001, seeds, epochs)
    )
    for row in page().tables[0].rows:
        assert float(row[1]) == 0
        assert row[3].startswith("0 of")
        assert row[4] == "undecided"


def made(first_epoch: float, last: float, swing: float) -> dict[str, np.ndarray]:
    """Curves of three seeds over two epochs: a training loss that starts so, a validation loss that ends so."""
    step, seed = np.arange(0, 47, 2), np.arange(3)[:, None] * 1e-3
    wave = swing * (-1.0) ** np.arange(len(step))
    validation = np.linspace(2.0, last, len(step)) + seed + wave * (1 + seed)
    return {"step": step, "training": np.linspace(first_epoch, 0.1, len(step)) * (1 + seed), "validation": validation,
            "accuracy": 1 - validation / 10}  # fmt: skip


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("adam_leads", [True, False])
def test_who_leads_and_who_swings_is_told_from_the_curves(adam_leads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the hypothesis has it in every line, or the other way round in every line."""
    steady, wild = made(2.0, 0.2, 0.001), made(1.0, 0.4, 0.1)
    known = {"adam": wild, "momentum": steady} if adam_leads else {"adam": steady, "momentum": wild}
    monkeypatch.setattr(comparison, "curves", lambda task, rule, *_: known[rule])
    rows = run(comparison.early_and_late, Options(seeds=3)).tables[0].rows
    assert {row[4] for row in rows} == {"as the hypothesis has it" if adam_leads else "the other way round"}
