"""stepwell find-lr as a user has it."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from stepwell.pages.style import FORMATS
from tests.test_cli import refused, run


def test_find_lr_prints_the_line_to_paste() -> None:
    result = run("find-lr", "diabetes", "momentum", "--seeds", "1")
    assert result.exit_code == 0, result.stderr
    assert "momentum on diabetes" in result.stdout.splitlines()[0]
    assert "best rate" in result.stdout
    assert "short runs of momentum" in result.stderr


def test_find_lr_as_json_says_the_same_and_quiet_is_quiet() -> None:
    result = run("find-lr", "diabetes", "momentum", "--seeds", "1", "--json", "--quiet")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    shown = run("find-lr", "diabetes", "momentum", "--seeds", "1").stdout
    assert shown.startswith(found["paste"] or "no clear answer")
    assert found["cost"]["runs"] <= 1.1


@pytest.mark.parametrize("ending", FORMATS)
def test_the_losses_are_drawn(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"rates.{ending}"
    result = run("find-lr", "diabetes", "momentum", "--seeds", "1", "--quiet", "--out", str(out))
    assert result.exit_code == 0
    assert result.stderr == f"wrote {out}\n"
    assert len(out.read_bytes()) > 5_000


def test_what_is_no_picture_is_refused_before_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("stepwell.lab.rates.find_lr").METHODS, "sweep", None)
    refused(run("find-lr", "diabetes", "--quiet", "--out", str(tmp_path / "a.pdf")), "--out must end in .png or .svg")


def test_the_range_test() -> None:
    found = json.loads(run("find-lr", "diabetes", "adam", "--method", "range", "--json", "--quiet").stdout)
    assert found["method"] == "range"


def test_find_lr_refuses_what_it_cannot_do() -> None:
    refused(run("find-lr", "diabete", "--quiet"), "did you mean diabetes")
    refused(run("find-lr", "diabetes", "adma", "--quiet"), "did you mean adam")
    refused(run("find-lr", "diabetes", "--method", "guess", "--quiet"), "'guess'", "sweep, range")
    refused(run("find-lr", "diabetes", "--budget", "0", "--quiet"), "budget must be")
    refused(run("find-lr", "diabetes", "--rates", "2", "--quiet"), "rates must be")


MINE = """
import torch
from stepwell.lab import Task

x = torch.linspace(-1, 1, 64)[:, None]
calls = [0]

def later(output, target):
    calls[0] += 1
    if calls[0] > 30:
        raise RuntimeError("[b]later[/b]")
    return torch.nn.functional.mse_loss(output, target)

def model():
    return torch.nn.Linear(1, 1)

options = {"model": model, "data": (x, 3 * x), "batch": 8, "epochs": 4, "loss": torch.nn.functional.mse_loss}
late = Task(**options | {"loss": later, "epochs": 40})
marked = Task(**options, name="m", about="the loss in [m/s] and [/m], in [bold] :smile:")
tiny = Task(**options | {"epochs": 1})

def factory():
    raise RuntimeError("no such table")
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_to_find.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine_to_find", raising=False)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("method", ["sweep", "range"])
def test_what_fails_of_the_users_own_is_said(method: str) -> None:
    late = run("find-lr", "mine_to_find:late", "adam", "--method", method, "--quiet")
    refused(late, "a training step fails: RuntimeError: [b]later[/b]")
    refused(run("find-lr", "mine_to_find:factory", "--method", method, "--quiet"), "no such table")


@pytest.mark.usefixtures("mine")
def test_the_users_words_are_printed_as_they_are() -> None:
    result = run("find-lr", "mine_to_find:marked", "adam")
    assert result.exit_code == 0, result.stderr
    assert "the loss in [m/s] and [/m], in [bold] :smile:: short runs of adam" in result.stderr
    refused(run("find-lr", "mine_to_find:marked", "[bold]"), "'[bold]'")


@pytest.mark.usefixtures("mine")
def test_a_training_too_short_to_search_is_an_answer_without_a_picture() -> None:
    result = run("find-lr", "mine_to_find:tiny", "adam", "--out", "rates.png", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "no clear answer: full runs have 8 steps, too few for a budget of 1.1" in result.stdout
    assert result.stderr == "nothing was trained, and nothing drawn\n"
    assert not Path("rates.png").exists()


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    module = importlib.import_module("stepwell.lab.rates.find_lr")
    monkeypatch.setitem(module.METHODS, "sweep", interrupted)
    result = run("find-lr", "diabetes", "--quiet")
    assert (result.exit_code, result.stdout) == (130, "")
