"""The figures show what the results hold."""

from pathlib import Path
from typing import Any

import pytest

from stepwell.pages import figures, report, style
from stepwell.rules import algorithms
from tests.lab.synthetic import results, run

NAMES = ["momentum", "adagrad", "adam", "lion"]
RUNS = [
    run(name, lr, seed, 0.3 * (1 + i) + 0.01 * seed + lr)
    for i, name in enumerate(NAMES)
    for lr in (0.01, 0.1)
    for seed in (0, 1)
]


def lines(figure: Any) -> list[Any]:
    return [line for axes in figure.axes for line in axes.lines]


def legends(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]


def test_every_optimizer_has_its_curve_in_its_own_look_at_its_best_rate() -> None:
    figure = figures.curves(results(RUNS, goal={"metric": "accuracy", "value": 0.95, "words": "95 % accuracy"}))
    assert legends(figure) == [f"{name}\nlr 0.01" for name in NAMES]
    drawn = {line.get_label().splitlines()[0]: line for line in lines(figure) if "lr" in line.get_label()}
    for name, line in drawn.items():
        assert line.get_color() == style.look(name)["color"]
        assert line.get_linestyle() == style.look(name)["linestyle"]
    assert list(drawn["adam"].get_xdata()) == [0, 5, 10]
    assert list(drawn["adam"].get_ydata()) == pytest.approx([2.0, 1.0, 0.915])


def test_curves_stand_above_the_least_loss_and_show_a_goal() -> None:
    made = results(RUNS, lowest=0.2, goal={"metric": "loss", "value": 0.5, "words": "half"})
    figure = figures.curves(made)
    assert legends(figure)[-1] == "half"
    line = next(line for line in lines(figure) if line.get_label().startswith("momentum"))
    assert list(line.get_ydata()) == pytest.approx([1.8, 0.8, 0.115])


def test_rates_show_every_rate_and_a_cross_for_a_diverged_one() -> None:
    made = [*RUNS, run("adam", 1.0, 0, None), run("adam", 1.0, 1, None)]
    figure = figures.rates(results(made))
    assert legends(figure) == NAMES
    adam = next(line for line in lines(figure) if line.get_label() == "adam")
    assert list(adam.get_xdata()) == [0.01, 0.1]
    crosses = [list(line.get_xdata()) for line in lines(figure) if line.get_marker() == "x" and len(line.get_xdata())]
    assert crosses == [[1.0]]
    limit = figure.axes[0].get_ylim()
    assert limit[0] < 0.315
    assert limit[1] > 6  # three times the loss at the start


def test_curves_of_all_rules_and_of_one_that_diverges_at_once_can_be_drawn(tmp_path: Path) -> None:
    made = results([run(name, 0.1, seed, None if name == "adam" else 0.5) for name in algorithms for seed in (0, 1)])
    report.make(made, tmp_path)
    files = {p.name for p in tmp_path.iterdir()}
    pages = {"report.md", "report.html"}
    assert files == {"results.json", "runs.csv", "curves.png", "curves.svg", "rates.png", "rates.svg"} | pages


def test_a_schedule_is_drawn_step_by_step() -> None:
    figure = figures.schedule([0.3, 0.2, 0.1], "falling")
    assert figure.axes[0].get_title(loc="left") == "falling"
    assert list(lines(figure)[0].get_ydata()) == [0.3, 0.2, 0.1]
    assert figure.axes[0].get_ylim()[0] == 0
