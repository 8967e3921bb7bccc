"""stepwell playground: what is written, what is said, what is opened."""

import json
import re
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stepwell import cli
from stepwell.functions import minimize

pytestmark = pytest.mark.usefixtures("one_thread")

TASK = """
import torch
from stepwell.lab import Task
x = torch.linspace(-1, 1, 40)[:, None]
loss = torch.nn.functional.mse_loss
line = Task(model=lambda: torch.nn.Linear(1, 1), data=(x, 3 * x + 1), loss=loss, epochs=20, name="line", batch=8)
make = lambda: line
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened in a browser."""
    found: list[str] = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    return found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["playground", *arguments])


def known(page: Path) -> dict:
    found = re.search(r"^const DATA = (.*);$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return json.loads(found[1])


def test_it_writes_the_page_and_opens_none_where_nobody_looks(here: Path, seen: list[str]) -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "wrote playground.html\n"
    assert list(known(here / "playground.html")["rules"])
    assert seen == []


def test_it_opens_the_page_where_it_is_told(here: Path, seen: list[str]) -> None:
    assert run("--open", "--out", "a/b.html").exit_code == 0
    assert seen == [(here / "a" / "b.html").as_uri()]


def test_a_place_that_cannot_be_written_is_said(here: Path) -> None:
    (here / "file").write_text("")
    result = run("--out", "file/page.html")
    assert result.exit_code == 2
    assert result.stderr.startswith("stepwell: cannot write file/page.html: ")


@pytest.mark.parametrize("name", ["line", "make"])
def test_a_users_loss_comes_with_the_lines_that_make_it(here: Path, monkeypatch, name: str) -> None:
    (here / "mine_to_look_at.py").write_text(TASK)
    monkeypatch.syspath_prepend(here)
    result = run("--task", f"mine_to_look_at:{name}", "--optimizer", "momentum", "--steps", "30", "--points", "9")
    assert result.exit_code == 0, result.stderr
    assert "line: a short training, and its loss on a plane" in result.stderr
    own = known(here / "playground.html")["surfaces"]["own"]
    assert own["about"].startswith("The loss of line after 30 steps of momentum, lr 0.01, on the plane of its path")
    scope: dict = {}
    exec("\n".join(own["python"]), scope)
    assert scope["plane"].a.tolist() == pytest.approx(
        own["domain"][0][:1] + scope["plane"].a[1:-1].tolist() + own["domain"][0][1:]
    )
    assert np.isfinite(minimize(scope["plane"], own["start"], "adam", lr=0.01, jac=scope["plane"].gradient).fun)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "digitz"], "there is no task 'digitz'; did you mean digits"),
        (["--task", "digits", "--directions", "up"], "directions must be 'path' or 'random'; got 'up'"),
        (["--task", "digits", "--optimizer", "adma"], "there is no optimizer 'adma'"),
        (["--task", "digits", "--steps", "0"], "a fresh model has no path"),
        (["--task", "digits", "--optimizer", "momentum", "--lr", "1e9", "--steps", "5"], "diverged with momentum"),
        (["--points", "2"], "points"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(here: Path, arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (here / "playground.html").exists()
