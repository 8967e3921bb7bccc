"""The commands with tasks of the user's own: where modules are found, what names do, what is said of mistakes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from stepwell.lab.store.study import Store
from stepwell.lab.sweeps import search
from stepwell.lab.task import Task
from stepwell.lab.training.crew import WorkerError
from tests.lab.stored import run as kept
from tests.test_cli import refused, run

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("--only", "adam,momentum", "--rates", "2", "--seeds", "1", "--workers", "1")
TASK = """
import itertools
import torch
from stepwell import schedules
from stepwell.lab.task import Task

x = torch.linspace(-1, 1, 64)[:, None]
calls = itertools.count()


def line():
    return torch.nn.Linear(1, 1)


def lazily():
    import {name}_helper

    return {name}_helper.line()


def make(**more):
    given = dict(model=line, data=(x, 3 * x), loss=torch.nn.functional.mse_loss, batch=8, length=12, name="line")
    return Task(**(given | more))


def fails():
    raise RuntimeError("no such table")


def needs(place):
    return make()


def later(output, target):
    if next(calls) == 120 + 0 * float(output.detach().sum()):  # which no stack of models has
        raise RuntimeError("the disk is gone")
    return (output - target).square().mean()


def short(steps):
    return schedules.warmup(10).then(schedules.cosine(steps - 10))


class Slow(torch.nn.Linear):
    def forward(self, inputs):
        import time, {name}_helper

        time.sleep(0.1)
        float(self.weight.sum())
        return super().forward(inputs)


spaced, marked, up, odd = (make(name=name) for name in ("my net", "net[/v2]", "../../up", "what?x%20"))
lazy = make(model=lazily)
slow = make(model=lambda: Slow(1, 1), length=20)
broken_later = make(loss=later)
short_schedule = make(schedule=short)
other = make(batch=4)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of tasks where the user stands."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(TASK.replace("{name}", name))
    (tmp_path / f"{name}_helper.py").write_text("import torch\ndef line():\n    return torch.nn.Linear(1, 1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


def test_modules_are_found_where_one_stands_when_they_are_needed_and_by_workers(own: str) -> None:
    assert run("sweep", f"{own}:lazy", *SMALL).exit_code == 0
    command = ["sweep", f"{own}:slow", "--only", "adam,momentum", "--rates", "2", "--seeds", "2", "--workers", "2"]
    done = subprocess.run([str(Path(sys.executable).with_name("stepwell")), *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("stepwell-results/line/results.json").read_text())["settings"]["way"]["workers"] == 2


def test_what_a_users_module_misses_is_named(own: str) -> None:
    Path(f"{own}_more.py").write_text("import nothing_of_the_kind")
    result = run("sweep", f"{own}_more:task")
    refused(result, f"{own}_more cannot be imported", "No module named 'nothing_of_the_kind'")
    assert "stepwell[lab]" not in result.stderr


def test_a_users_function_that_fails_is_said(own: str) -> None:
    refused(run("sweep", f"{own}:fails"), f"{own}:fails", "RuntimeError: no such table")
    refused(run("sweep", f"{own}:needs"), f"{own}:needs", "missing 1 required positional argument")
    words = "schedule fails for runs of 4 steps: ValueError: steps must be an integer"
    refused(
        run("sweep", f"{own}:short_schedule", "--halving", "2", "--rates", "3"), words.replace("4 steps", "3 steps")
    )


@pytest.mark.parametrize("command", ["sweep", "compare"])
def test_a_loss_that_fails_later_says_at_which_trial_and_what_is_done_is_kept(own: str, command: str) -> None:
    options = SMALL if command == "sweep" else ["--optimizers", "adam,momentum", "--trials", "3", "--workers", "1"]
    result = run(command, f"{own}:broken_later", *options, "--seeds", "6", "--out", "out")
    assert result.exit_code == 2, result.stderr
    assert "a training step fails: RuntimeError: the disk is gone" in result.stderr
    assert " at a learning rate of " in result.stderr
    assert ", 12 steps: " in result.stderr
    document = json.loads(Path("out/results.json" if command == "sweep" else "out/comparison.json").read_text())
    runs = document["runs"] if command == "sweep" else document["contests"][0]["runs"]
    (study,) = optuna.get_all_study_summaries("sqlite:///out/study.db")
    assert len(runs) == study.n_trials > 0


@pytest.mark.parametrize("task", ["spaced", "marked", "up", "odd"])
@pytest.mark.parametrize("command", ["sweep", "compare"])
def test_any_name_has_its_results_below_the_folder_and_is_found_again(own: str, task: str, command: str) -> None:
    options = SMALL if command == "sweep" else ["--only", "adam,momentum", "--trials", "1", "--tuning-seeds", "1",
                                                "--seeds", "2", "--workers", "1"]  # fmt: skip
    first = run(command, f"{own}:{task}", *options)
    assert first.exit_code == 0, first.stderr
    (database,) = Path.cwd().rglob("study.db")
    assert database.parent.parent == Path("stepwell-results").absolute()
    assert (database.parent / "report.md").exists()
    again = run(command, f"{own}:{task}", *options, "--resume")
    assert again.exit_code == 0, again.stderr
    assert "of them kept from before" in again.stderr
    assert {"spaced": "my net", "marked": "net[/v2]", "up": "../../up", "odd": "what?x%20"}[task] in again.stdout


def test_a_folder_of_any_name_has_the_database(own: str) -> None:
    assert run("sweep", f"{own}:make", *SMALL, "--out", "what?x").exit_code == 0
    assert [path.parent.name for path in Path.cwd().rglob("study.db")] == ["what?x"]


def test_another_task_does_not_resume_and_what_to_do_is_an_option_there_is(own: str) -> None:
    for command, more in (("sweep", ("--rates", "2")), ("compare", ("--trials", "2", "--tuning-seeds", "1"))):
        options = ("--only", "adam,momentum", "--seeds", "2", "--workers", "1", *more)
        assert run(command, f"{own}:make", *options, "--out", command).exit_code == 0
        result = run(command, f"{own}:other", *options, "--out", command, "--resume")
        refused(result, "begun with other settings: task.batch is 8 there, 4 here", "without --resume")
        assert "--study" not in result.stderr


def test_the_last_study_is_the_one_that_was_made_last(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path}/a.db"
    for name, task in (("net zzz", "net"), ("net 2", "net"), ("net 2 zzz", "net 2"), ("network", "network")):
        Store.open(where, name, {"optimizers": ["adam"], "task": {"name": task}}).add([kept()])
    assert Store.names(where, "net", "net") == ["net zzz", "net 2"]
    assert Store.names(where, "net 2", "net 2") == ["net 2 zzz"]


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (["--ray"], "local"),
        (["--ray", "--quiet"], "local"),
        (["--ray", "head:6379"], "head:6379"),
        (["--ray=auto"], "auto"),
    ],
)
def test_ray_may_stand_without_an_address(
    own: str, monkeypatch: pytest.MonkeyPatch, words: list[str], address: str
) -> None:
    def asked(task: Task, candidates: Any, address: str, most: int | None) -> None:
        raise WorkerError(f"asked for {address} and {most}")

    monkeypatch.setattr(search, "Cluster", asked)
    refused(run("sweep", f"{own}:make", *SMALL, *words), f"stepwell: asked for {address} and 1")


def test_ray_that_is_not_installed_is_said(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.lab.training.cluster.importlib.util.find_spec", lambda name: None)
    refused(run("sweep", f"{own}:make", *SMALL, "--ray"), "this needs Ray", "pip install 'stepwell[ray]'")
    assert not Path("stepwell-results").exists()


def test_processes_join_by_the_same_command(own: str) -> None:
    """Whichever comes first; without a name the study has the task's."""
    first, second = (run("sweep", f"{own}:make", *SMALL, "--storage", "study.log", "--join") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert Store.names("study.log", "line", "line") == ["line"]
    assert "of them kept from before" in second.stderr
    refused(
        run("sweep", f"{own}:make", *SMALL, "--seeds", "2", "--storage", "study.log", "--join"),
        "begun with other settings: seeds.1 is missing there, 1 here",
    )


def test_no_optimizers_to_trace_are_refused() -> None:
    refused(run("trace", "ravine", ","), "optimizers must be one rule or more", "','")
