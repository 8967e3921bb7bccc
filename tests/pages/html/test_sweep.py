"""The page of a sweep: the answer first, every diverged run seen, and words where there is nothing to draw."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from stepwell.lab.sweeps import answer
from stepwell.lab.sweeps.results import Results
from stepwell.pages import tables
from stepwell.pages.html.colours import colour_of
from tests.lab.synthetic import results, run
from tests.pages.html.made import Read, shown, sweep, symbols, traces


def page(made: Results, folder: Path) -> Read:
    made.write(folder)
    return shown(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Read]:
    made = sweep(rates=14, seeds=4)
    return made, page(made, tmp_path_factory.mktemp("sweep"))


def test_the_first_words_say_which_optimizer_which_rate_and_how_sure(whole: tuple[Results, Read]) -> None:
    made, read = whole
    first = made.ranking()[0]
    start = read.text.index(f"{first.optimizer} at a learning rate of {first.lr:.3g}")
    for words in (answer.sentence(made), "How sure", f"{first.loss.median:.4g}", answer.lines(made).replace("\n", " ")):
        assert start < read.text.index(words) < read.text.index("Optimizers, the best first")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ({"adam": [0.10, 0.11, 0.12], "lion": [0.11, 0.10, 0.13]}, "Tie not told from lion"),
        ({"adam": [0.10, 0.11, 0.12], "lion": [0.50, 0.51, 0.53]}, "Beyond chance next lion, 0.403 above"),
        ({"adam": [0.1], "lion": [0.5]}, "Not known one seed cannot say"),
        ({"adam": [0.1, 0.2]}, "Alone no other optimizer was tried"),
    ],
)
def test_how_sure_it_is(losses: dict[str, list[float]], words: str, tmp_path: Path) -> None:
    runs = [run(name, 0.1, seed, loss) for name, each in losses.items() for seed, loss in enumerate(each)]
    assert f"How sure {words}" in page(results(runs), tmp_path).text


def test_a_rate_at_the_edge_of_those_tried_is_not_taken_for_the_best(tmp_path: Path) -> None:
    runs = [run("adam", lr, seed, loss) for lr, loss in ((0.1, 0.5), (0.2, 0.1), (0.3, 0.4)) for seed in range(3)]
    assert "Learning rate 0.2 inside of what was tried" in page(results(runs), tmp_path).text
    assert "Learning rate 0.2 the outermost tried" in page(results(runs[:6]), tmp_path).text


def test_the_ranking_is_the_table_of_the_other_reports(whole: tuple[Results, Read]) -> None:
    made, read = whole
    for row in tables.rows(made):
        assert " ".join(row) in read.text
    for note in tables.notes(made):
        assert note in read.text


def test_gaps_are_drawn_with_their_intervals(whole: tuple[Results, Read]) -> None:
    made, read = whole
    figure = read.chart("How far behind the first")
    assert figure["layout"]["yaxis"]["ticktext"] == [place.optimizer for place in made.ranking()]
    for row, place in enumerate(made.ranking()[1:], 1):
        assert place.gap is not None
        lines = [t for t in traces(figure, legendgroup=place.optimizer, mode="lines") if t["y"] == [row, row]]
        assert [t["x"] for t in lines] == [pytest.approx([place.gap.low, place.gap.high], rel=1e-4)]
        dots = traces(figure, legendgroup=place.optimizer, mode="markers")
        (mean,) = [t for t in dots if t["x"] == [pytest.approx(place.gap.mean, rel=1e-4)]]
        assert (mean["marker"]["color"] == "--ground") == place.tied
    assert {t["x"][0] for t in traces(figure, legendgroup=made.ranking()[0].optimizer)} == {0.0}


def test_every_rate_is_drawn_and_a_diverged_one_is_a_cross_at_the_top(whole: tuple[Results, Read]) -> None:
    made, read = whole
    figure = next(f for f in read.figures.values() if f["layout"]["xaxis"]["title"]["text"] == "learning rate")
    top = 10 ** figure["layout"]["yaxis"]["range"][1]
    for name, by in made.groups().items():
        own = traces(figure, legendgroup=name)
        (line,) = [t for t in own if t["mode"] == "lines+markers"]
        (crosses,) = symbols(own, "x-thin")
        (ring,) = symbols(own, "circle-open")
        lost = [lr for (lr, _), runs in by.items() if any(r.loss is None for r in runs)]
        assert lost
        assert crosses["x"] == lost
        assert line["x"] + lost == [lr for lr, _ in by]
        assert (ring["x"], line["line"]["color"]) == ([made.best()[name][0].lr], colour_of(name))
        assert all(max(line["y"]) < y <= top for y in crosses["y"])


def test_a_rate_at_which_some_seeds_diverged_is_a_point_and_a_cross(tmp_path: Path) -> None:
    runs = [run("adam", 0.1, seed, 0.1) for seed in range(3)]
    runs += [run("adam", 1.0, seed, loss) for seed, loss in enumerate([0.2, 0.3, None])]
    figure = page(results(runs), tmp_path).figures["c1"]
    assert [t["x"] for t in traces(figure, mode="lines+markers")] == [[0.1, 1.0]]
    (cross,) = symbols(figure["data"], "x-thin")
    assert cross["x"] == [1.0]
    assert "1 of 3 runs diverged" in cross["text"][0]


def test_curves_are_medians_with_a_band_over_the_seeds(tmp_path: Path) -> None:
    runs = [run("adam", 0.1, seed, loss) for seed, loss in enumerate([0.1, 0.3, 0.2])]
    runs[1] = replace(runs[1], curve={"step": [0, 5, 10], "loss": [2.5, 1.5, 0.3], "metric": []})
    read = page(results(runs, goal=None), tmp_path)
    (figure,) = [f for f in read.figures.values() if f["layout"]["xaxis"]["title"]["text"].startswith("step")]
    band, line = figure["data"]
    assert (line["x"], line["y"]) == ([0, 5, 10], [2.0, 1.0, 0.2])
    assert (band["x"], band["y"]) == ([0, 5, 10, 10, 5, 0], [2.5, 1.5, 0.3, 0.1, 1.0, 2.0])
    assert band["fillcolor"] == f"{colour_of('adam')}/0.15"


def test_each_hyperparameter_has_a_chart_of_all_runs_for_each_optimizer(tmp_path: Path) -> None:
    runs = [run("adam", 0.1 * (1 + k), 0, 0.5 - 0.1 * k, hyper=(("beta1", 0.8 + 0.05 * k),)) for k in range(4)]
    runs += [run("adam", 9.0, 0, None, hyper=(("beta1", 0.5),)), run("lion", 0.1, 0, 0.9)]
    read = page(results(runs), tmp_path)
    beta = read.chart("adam: beta1")
    dots, crosses, ring = beta["data"]
    assert dots["x"] == pytest.approx([0.8, 0.85, 0.9, 0.95])
    assert (crosses["x"], ring["x"]) == ([0.5], [0.95])
    assert len(read.chart("adam: learning rate")["data"][0]["x"]) == 4
    assert "lion: learning rate" in read.text
    assert "lion: beta1" not in read.text


def test_every_run_is_in_the_table(whole: tuple[Results, Read]) -> None:
    made, read = whole
    assert f"All {len(made.runs)} runs" in read.text
    assert len(read.all("tr")) == len(made.runs) + len(made.ranking()) + 2
    assert read.text.count("diverged at step 30") == sum(each.loss is None for each in made.runs)


def test_what_was_run_and_with_what_is_said(tmp_path: Path) -> None:
    read = page(results([run("adam", 0.1, 0, 0.5), run("adam", 0.1, 3, None)]), tmp_path)
    said = ("nothing on nothing", "2, of which 1 diverged", "one run after the other", "Python 3", "Seeds 0, 3")
    for words in (*said, "1 January 2024"):
        assert words in read.text


def test_an_interrupted_sweep_says_so(tmp_path: Path) -> None:
    made = results([run("adam", 0.1, 0, 0.5)])
    made.complete = False
    assert "Interrupted: this is what was done until then." in page(made, tmp_path).text
    assert "Interrupted" not in page(results(made.runs), tmp_path).text


def test_no_trials_are_words_and_no_frame(tmp_path: Path) -> None:
    read = page(results([]), tmp_path)
    assert "Nothing was trained" in read.text
    assert "no trials in this file" in read.text
    assert (read.all("figure"), read.figures) == ([], {})
    assert len("".join(read.scripts)) < 20_000  # what draws is left out, too


def test_where_all_diverged_there_are_words_and_the_runs(tmp_path: Path) -> None:
    read = page(results([run(name, 0.1, seed, None) for name in ("adam", "lion") for seed in range(3)]), tmp_path)
    assert "Every run diverged" in read.text
    assert "All 6 runs diverged, so there is no loss to draw." in read.text
    assert read.figures == {}
    assert read.text.count("diverged at step 10") == 6


def test_without_a_metric_there_are_no_columns_for_it(tmp_path: Path) -> None:
    without = page(results([run("adam", 0.1, seed, 0.5) for seed in range(3)]), tmp_path)
    assert "accuracy" not in without.text.lower()
    scored = page(results([run("adam", 0.1, seed, 0.5, metric=0.9) for seed in range(3)]), tmp_path)
    assert "Accuracy 90.0 %" in scored.text


@pytest.mark.parametrize("loss", [-3.0, 0.0, 1e-30, 1e30])
def test_losses_of_any_size_are_drawn_on_a_scale_that_holds_them(loss: float, tmp_path: Path) -> None:
    made = results([run("adam", lr, seed, loss) for lr in (0.1, 0.2) for seed in range(3)], goal=None)
    figure = page(made, tmp_path).figures["c1"]
    axis = figure["layout"]["yaxis"]
    (line,) = traces(figure, mode="lines+markers")
    places = [math.log10(y) if axis.get("type") == "log" else y for y in line["y"]]
    assert len(places) == 2
    assert all(axis["range"][0] <= place <= axis["range"][1] for place in places)
