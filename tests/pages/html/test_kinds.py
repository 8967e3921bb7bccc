"""The pages of comparisons, of watched trainings and of learning rates; each kind is found by being in its room."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.rates.found_rate import FoundRate, Round
from stepwell.pages import comparison as tables
from stepwell.pages import html
from tests.lab.contests import contest
from tests.pages.html.made import FOUND, Read, comparison, doctor, shown, symbols, traces

RATES = {0.001: 2.0, 0.01: 1.0, 0.1: None}


def compared(made: Comparison, folder: Path) -> Read:
    made.write(folder)
    return shown(folder)


def watched(document: dict[str, Any], folder: Path) -> Read:
    (folder / "doctor.json").write_text(json.dumps(document))
    return shown(folder)


def found(made: FoundRate, folder: Path) -> Read:
    (folder / "rates.json").write_text(json.dumps(made.to_json()))
    return shown(folder / "rates.json")


def test_every_module_of_the_room_is_a_kind() -> None:
    room = Path(html.__file__).parent / "kinds"
    assert len(html.known()) == len([path for path in room.glob("*.py") if path.stem != "__init__"]) >= 4
    assert len({kind.file for kind in html.known().values()}) == len(html.known())


def test_a_comparison_has_verdicts_intervals_noise_warnings_and_every_run(tmp_path: Path) -> None:
    made = comparison("one")
    (only,) = made.contests
    read = compared(made, tmp_path)
    for words in (advice.sentence(only), "Noise floor", "Tie not told from lion", f"All {len(made.runs)} runs"):
        assert words in read.text
    assert any("momentum: its best setting has the highest learning rate" in each for each in advice.warnings(only))
    for warning in advice.warnings(only):
        assert warning[1:] in read.text
    for row in tables.rows(only):
        assert " ".join(filter(None, row)) in read.text
    figure = read.chart("How far behind the first")
    assert only.judgement is not None
    assert len(figure["layout"]["shapes"]) == 2  # the noise floor, and 0
    for row, standing in enumerate(only.judgement.standings[1:], 1):
        dots = [t for t in traces(figure, legendgroup=standing.optimizer) if t["y"] == pytest.approx([row + 0.28] * 8)]
        assert len(dots) == (standing.optimizer != "yogi")  # of which one seed diverged, and seven are seen


def test_what_tuning_gives_is_drawn(tmp_path: Path) -> None:
    figure = compared(comparison("one"), tmp_path).chart("What tuning gives")
    _, line = traces(figure, legendgroup="adam")
    assert (line["x"], line["y"]) == ([1, 2, 3], [2.0, 1.0, 1.0])


def test_several_tasks_have_a_section_each_and_a_profile(tmp_path: Path) -> None:
    made = comparison("one", "two")
    read = compared(made, tmp_path)
    assert len(read.all("article")) == 3
    assert "adam leads on 2 of 2 tasks" in read.text
    figure = read.chart("Steps to the target")
    for name, shares in zip(made.optimizers, made.profiles["steps"].shares, strict=True):
        (line,) = traces(figure, legendgroup=name)
        assert line["y"] == [*shares, shares[-1]]
    assert "Steps to the target" not in compared(comparison("one"), tmp_path).text


@pytest.mark.parametrize("runs", [{"adam": [None] * 6, "lion": [None] * 6}, {}])
def test_a_comparison_without_an_answer_says_why(runs: dict[str, Any], tmp_path: Path) -> None:
    tried = {0.01: None if runs else 1.0, 0.1: None}
    settings = {"adam": tried, "lion": tried}
    made = Comparison([contest(settings, runs, runs.get("adam", ()))])
    read = compared(made, tmp_path)
    assert ("Every run diverged" if runs else "Nothing can be said yet") in read.text
    assert "optimizer = " not in read.text
    assert all(figure["data"] for figure in read.figures.values())


def test_a_doctors_page_has_finding_evidence_cure_and_proof(tmp_path: Path) -> None:
    read = watched(doctor(), tmp_path)
    for words in (
        "The learning rate is too high",
        "it jumps",
        "a learning rate of 0.03",
        "layers.0.weight",
        "SGD, lr 0.1",
    ):
        assert words in read.text
    assert "nesterov False" in read.text
    assert "lr 0.03 0.5 yes clip_norm 1 – no" in read.text
    figure = read.chart("Loss from there on")
    assert [(trace["legendgroup"], trace["x"]) for trace in figure["data"]][1] == ("lr 0.03", [40, 41])


def test_vital_signs_are_drawn_where_they_were_measured(tmp_path: Path) -> None:
    read = watched(doctor(), tmp_path)
    sharpness, edge = read.chart("Sharpness")["data"]
    assert (sharpness["x"], edge["y"]) == ([0, 100, 200, 300], [20.0] * 4)
    assert read.chart("Loss")["data"][0]["y"] == [2.3, None, 1.0]
    ratios = read.chart("Update against weight")
    assert [shape["type"] for shape in ratios["layout"]["shapes"]] == ["rect", "line"]
    assert len(traces(ratios, hoverinfo="skip")) == 4  # the layers nearest to what is usual, in grey
    own = [trace["legendgroup"] for trace in ratios["data"] if "legendgroup" in trace]
    assert {"layers.0.weight", "layers.2.weight"} <= set(own)  # the largest and the least
    assert "layers.1.weight" not in own  # 1e-3
    for title in ("Learning rate", "Gradient norm", "Gradient noise", "Share ruled by ε"):
        assert len(read.chart(title)["data"][0]["x"]) == 20


def test_a_healthy_training_and_one_that_nobody_saw(tmp_path: Path) -> None:
    healthy = watched(doctor(findings=False), tmp_path)
    assert "Nothing is wrong 20 samples over 400 steps show nothing to cure." in healthy.text
    blind = doctor(findings=False) | {"samples": [], "losses": {"step": [], "loss": []}}
    read = watched(blind, tmp_path)
    assert "Nothing was watched" in read.text
    assert read.figures == {}


def test_a_found_rate_has_its_rounds_interval_basin_and_edge(tmp_path: Path) -> None:
    read = found(FOUND, tmp_path)
    for words in (
        "adam at a learning rate of 1.2e-2",
        "code Copy lr=1.2e-2",
        "1e-2 to 2e-2",
        "5e-3 to 3e-2",
        "perhaps higher ones too",
    ):
        assert words in read.text
    figure = read.figures["c1"]
    lines = traces(figure, mode="lines+markers")
    assert [(t["x"], t["y"]) for t in lines] == [([1e-3, 1e-2], [2.1, 1.1]), ([5e-3, 1e-2, 2e-2], [0.6, 0.45, 0.7])]
    assert [t["x"] for t in symbols(figure["data"], "x-thin")] == [[1e-1], []]
    spans = [(s["x0"], s["x1"]) for s in figure["layout"]["shapes"] if s.get("yref") == "paper"]
    assert spans == [(0.005, 0.03), (0.01, 0.02), (0.0123, 0.0123), (0.08, 0.08)]


def test_a_search_without_an_answer_says_why(tmp_path: Path) -> None:
    none = replace(FOUND, rate=None, reason="it is flat", interval=None, basin=None, edge=None)
    read = found(none, tmp_path)
    assert "No clear answer for adam digits: it is flat." in read.text
    assert "paste" not in read.text
    lost = replace(none, rounds=(Round(10, (0.1, 0.2), ((math.inf,), (math.inf,)), math.nan),))
    assert "Every run diverged, so there is no loss to draw" in found(lost, tmp_path).text
    assert found(lost, tmp_path).figures == {}
    assert "Nothing was trained" in found(replace(none, rounds=()), tmp_path).text


def test_a_found_rate_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    for made in (FOUND, replace(FOUND, interval=None, basin=None, rounds=(), rate=None, reason="flat")):
        path.write_text(json.dumps(made.to_json()))
        assert FoundRate.read(path) == made
    unknown = replace(FOUND, cost=replace(FOUND.cost, full_seconds=math.nan))
    path.write_text(json.dumps(unknown.to_json(), allow_nan=False))
    assert math.isnan(FoundRate.read(path).cost.full_seconds)
    path.write_text('{"schema": "stepwell.results"}')
    with pytest.raises(ValueError, match=r"does not hold stepwell.found_rate version 1"):
        FoundRate.read(path)
