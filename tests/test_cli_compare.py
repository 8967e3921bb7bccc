"""stepwell compare as a user has it: what is printed where, what is written, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepwell import cli, files
from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.comparisons.judge import fewest
from stepwell.lab.names import count
from stepwell.lab.sweeps import search
from stepwell.lab.sweeps.sweep import USUAL
from stepwell.pages.style import FORMATS

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = ["--optimizers", "adam,momentum", "--trials", "2", "--tuning-seeds", "1", "--epochs", "1", "--workers", "1"]
RUNS = 2 * 2 + 2 * 3 + 3
_, ANY_LAW = fewest(0.95)


def compare(folder: Path, *arguments: str, task: tuple[str, ...] = ("diabetes",), seeds: int = 3) -> Result:
    given = ["compare", *task, *OPTIONS, "--seeds", str(seeds), "--out", str(folder), *arguments]
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, given)


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def stopping(monkeypatch: pytest.MonkeyPatch, after: int) -> list[Any]:
    """Let a search be interrupted after some groups."""
    seen: list[Any] = []
    train = search.train_group

    def interrupted(task: Any, candidates: Any, trials: Any, *rest: Any) -> Any:
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(trials)
        return train(task, candidates, trials, *rest)

    monkeypatch.setattr(search, "train_group", interrupted)
    return seen


def test_it_prints_the_table_and_the_answer_and_writes_a_folder(tmp_path: Path) -> None:
    result = compare(tmp_path / "new")
    assert result.exit_code == 0, result.stderr
    ranked = [line.split()[:3] for line in result.stdout.splitlines() if line[:2] in ("1 ", "2 ")]
    assert {row[1] for row in ranked} == {"adam", "momentum"}
    assert ranked[0][2] == "best"
    assert "diabetes: " in result.stdout
    assert "over 3 fresh seeds" in result.stdout
    assert f"Warning: 3 seeds are few; {ANY_LAW} are needed" in result.stdout
    assert "    optimizer = " in result.stdout
    assert "2 optimizers × 2 learning rates × 1 seed" in result.stderr
    assert "the best of each on 3 fresh seeds" in result.stderr
    assert f"done: {RUNS} runs in" in result.stderr
    pictures = {f"diabetes-{what}.{end}" for what in ("gaps", "curves", "tuning", "rates") for end in FORMATS}
    assert {path.name for path in (tmp_path / "new").iterdir()} == pictures | {
        "comparison.json",
        "report.md",
        "report.html",
        "study.db",
    }
    assert f"see {tmp_path / 'new' / 'report.html'}" in result.stderr


def test_as_json_it_is_the_file_and_quiet_is_quiet(tmp_path: Path) -> None:
    result = compare(tmp_path, "--json", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert document["complete"] is True
    assert len(document["contests"][0]["runs"]) == RUNS


def test_several_tasks_have_a_table_each_and_a_profile(tmp_path: Path) -> None:
    result = compare(tmp_path, "--trials", "1", task=("diabetes", "digits"))
    assert result.exit_code == 0, result.stderr
    assert "\ndiabetes\n" in "\n" + result.stdout
    assert "\ndigits\n" in result.stdout
    assert {"profile.png", "profile.svg", "digits-gaps.png", "diabetes-gaps.png"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert set(json.loads((tmp_path / "comparison.json").read_text("utf-8"))["profiles"]["steps"]["shares"]) == {
        "adam",
        "momentum",
    }


@pytest.mark.parametrize("after", [0, 1, 3])
def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    with monkeypatch.context() as patched:
        done = stopping(patched, after)
        result = compare(tmp_path)
    assert result.exit_code == 130
    kept = sum(map(len, done))
    if after:
        assert f"interrupted: {count(kept, 'run')}" in result.stderr
        document = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
        assert (document["complete"], len(document["contests"][0]["runs"])) == (False, kept)
        assert "interrupted" in (tmp_path / "report.md").read_text("utf-8")
    else:
        assert "nothing was trained, and nothing written" in result.stderr
        assert not (tmp_path / "comparison.json").exists()
    later = stopping(monkeypatch, 100)
    resumed = compare(tmp_path, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert not {trial for group in later for trial in group} & {trial for group in done for trial in group}
    assert len(Comparison.read(tmp_path).runs) == RUNS
    assert len(later) > 0


def test_a_second_comparison_is_a_study_of_its_own(tmp_path: Path) -> None:
    assert [compare(tmp_path, "--trials", "1").exit_code for _ in range(2)] == [0, 0]
    again = compare(tmp_path, "--trials", "3", "--resume")
    refused(again, "begun with other settings")


def test_a_full_disk_is_said_and_the_answer_still_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    result = compare(tmp_path)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "diabetes: " in result.stdout


def test_a_task_that_fails_leaves_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "from stepwell.lab.task import Task\n"
        "x = torch.full((8, 1), float('nan'))\n"
        "nan = Task(name='nan', model=lambda: torch.nn.Linear(1, 1), data=(x, x), loss=torch.nn.functional.mse_loss)\n"
    )
    monkeypatch.chdir(tmp_path)
    result = compare(tmp_path / "out", "--trials", "1", task=("diabetes", "broken:nan"))
    assert result.exit_code == 2
    assert "loss is nan before the first step" in result.stderr
    assert "diabetes: " in result.stdout
    kept = Comparison.read(tmp_path / "out")
    assert [contest.results.complete for contest in kept.contests] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits", "--optimizers", "adam"], ["optimizers must be two or more", "adam alone"]),
        (["digits", "--optimizers", "adam,lino"], ["'lino'", "did you mean lion"]),
        (
            ["digits", "--seeds", "1"],
            ["one cannot tell optimizers apart", "a claim at 95 % needs {}, and {}".format(*fewest(0.95, len(USUAL)))],
        ),
        (["digits", "--seeds", "0"], ["seeds must be"]),
        (["digits", "--sampler", "random"], ["sampler must be one of grid, tpe, qmc"]),
        (["digits", "--level", "95"], ["level must be a number in (0, 1)"]),
        (["digit"], ["did you mean digits"]),
        (["digits", "digits"], ["different names; got digits, digits"]),
        (["digits", "airfoil", "--data", "x"], ["--data is of one task"]),
        (["digits", "--data", "x"], ["--data does not apply"]),
        (["digits", "--resume"], ["has no study 'compare:digits'"]),
    ],
)
def test_it_refuses_what_it_cannot_do(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    given = ["compare", *arguments, "--out", str(tmp_path / "out")]
    refused(CliRunner().invoke(cli.app, given), *words)
    assert not (tmp_path / "out" / "comparison.json").exists()


def test_a_name_of_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(compare(tmp_path / "file"), "--out", "exists")
