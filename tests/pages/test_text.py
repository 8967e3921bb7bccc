"""What is shown as text: the plot in a terminal, the rules, the tables, the report."""

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stepwell.lab.trial import Run
from stepwell.pages import progress, report, rulebook, tables, terminal
from stepwell.rule import Rate, rule
from stepwell.rules import adamw, nadam, named
from tests.lab.synthetic import results, run

RUNS = [run("adam", 1e-3, 0, 0.125, 0.95, 5), run("adam", 1e-2, 0, None, None), run("lion", 1e-4, 0, 0.25, 0.5)]


def test_a_plot_fits_and_says_its_ranges() -> None:
    lines = terminal.plot([0.5 * k for k in range(100)], width=40, height=10).splitlines()
    assert len(lines) == 10
    assert all(len(line) <= 40 for line in lines)
    assert lines[0].split("│")[0].strip() == "49.5"
    assert lines[-1].split() == ["0", "99"]


@pytest.mark.parametrize("values", [[0.1], [0.0, 0.0], [1.0] * 1000, [0.0, 1.0]])
def test_a_plot_of_few_or_equal_values_has_a_dot_in_every_column(values: list[float]) -> None:
    rows = [line.split("│")[1] for line in terminal.plot(values, 30, 8).splitlines() if "│" in line]
    for column in zip(*rows, strict=True):
        dots = [ord(cell) - terminal.BLANK for cell in column]
        assert any(dot & 0x47 for dot in dots)  # the left half of a cell
        assert any(dot & 0xB8 for dot in dots)  # the right half


def test_a_spike_between_two_columns_is_not_lost() -> None:
    values = [0.0] * 10_000
    values[4321] = 1.0
    top = terminal.plot(values, 40, 8).splitlines()[0].split("│")[1]
    assert any(ord(cell) != terminal.BLANK for cell in top)


def test_a_formula_is_the_authors_lines() -> None:
    assert rulebook.formula(adamw)[0].startswith("step, m, v = adam(")
    assert rulebook.formula(named["gradient_descent"]) == ["return lr * g"]


def test_a_rule_without_source_shows_its_trace() -> None:
    space = {"rule": rule, "Rate": Rate}
    exec("@rule\ndef plain(g, *, lr: Rate = 0.5):\n    return lr * g", space)
    (line,) = rulebook.formula(space["plain"])  # pyright: ignore[reportArgumentType]
    assert line.startswith("return ")
    assert "lr" in line


@pytest.mark.parametrize("name", named)
def test_an_entry_says_all_of_a_rule(name: str) -> None:
    text = rulebook.entry(named[name])
    for expected in (name, named[name].summary, named[name].reference, *named[name].state):
        assert expected in text
    for hyper in named[name].hyperparameters.values():
        assert f"{hyper.default:g}" in text
        assert hyper.domain.words in text


def test_state_says_where_it_starts() -> None:
    assert "mu_product from 1" in rulebook.entry(nadam)
    assert "v from initial_accumulator" in rulebook.entry(named["yogi"])
    assert "none" in rulebook.entry(named["gradient_descent"])


def test_the_table_ranks_and_marks() -> None:
    made = results(RUNS)
    assert tables.rows(made) == [
        ["1", "adam", "0.001*", "0.1250", "0.1250 – 0.1250", "95.0 %", "95.0 % – 95.0 %", "5"],
        ["≈ 2", "lion", "0.0001", "0.2500", "0.2500 – 0.2500", "50.0 %", "50.0 % – 50.0 %", "–"],
    ]
    assert len(tables.columns(made)) == 8
    notes = " ".join(tables.notes(made))
    assert "outermost" in notes
    assert "1 of 3 runs diverged" in notes
    assert "≈ not told from the first" in notes  # one seed tells nothing


def test_a_table_without_accuracy_has_no_column_for_it() -> None:
    made = results([run("adam", 1e-3, 0, 0.125)])
    assert "accuracy" not in tables.columns(made)
    assert all(len(row) == len(tables.columns(made)) for row in tables.rows(made))


def test_a_table_that_diverged_says_so() -> None:
    assert tables.rows(results([run("adam", 1e-3, 0, None)]))[0][3] == "diverged"


def test_a_narrow_terminal_gets_no_ranges() -> None:
    made = results(RUNS)
    assert len(tables.ranking(made, 200).columns) == 8
    assert len(tables.ranking(made, 60).columns) == 6


def arriving(plan: Any) -> Iterator[Run]:
    for each in RUNS:
        plan.done.append(each)
        yield each


def test_progress_off_a_terminal_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", -1.0)
    for quiet in (False, True):
        plan: Any = SimpleNamespace(planned=5, done=[])
        console = Console(file=io.StringIO(), quiet=quiet)
        assert list(progress.shown(arriving(plan), plan, console)) == RUNS
        lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
        assert lines == ([] if quiet else [f"{n} of 5 runs, 0 s" for n in (1, 2, 3)])


def test_a_live_bar_hands_on_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb terminal shows no bar
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    plan: Any = SimpleNamespace(planned=3, done=[], way=None)
    assert list(progress.shown(arriving(plan), plan, console)) == RUNS
    assert "3/3 runs" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    plan.tell(1.5)  # between two runs


def test_the_report_has_the_picture_the_table_and_the_settings() -> None:
    made = results(RUNS)
    text = report.page(made)
    assert "![Loss against steps, each optimizer at its best learning rate](curves.png)" in text
    assert "| 1 | adam | 0.001* | 0.1250 |" in text
    assert "adam at a learning rate of 0.001 is best" in text
    assert "from stepwell.rules import adam" in text
    assert "2 optimizers, 2 learning rates, 1 seed" in text
    assert "Interrupted" not in text
    made.complete = False
    assert "Interrupted" in report.page(made)
