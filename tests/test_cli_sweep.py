"""stepwell sweep and stepwell trace as a user has them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from stepwell import files
from stepwell.cli import lab
from stepwell.lab.names import count
from stepwell.lab.sweeps import search
from stepwell.lab.training.group import train_group
from tests.lab.conftest import data_folder
from tests.test_cli import refused, run

SMALL = ("--only", "adam,lion", "--rates", "2", "--seeds", "1", "--epochs", "1", "--workers", "1")
TASK = """
import torch
from stepwell.lab.task import Task

x = torch.linspace(-1, 1, 64)[:, None]
data = (x, 3 * x)
loss = torch.nn.functional.mse_loss


def line():
    return torch.nn.Linear(1, 1)


def other():
    raise RuntimeError("no layers left")


good = Task(model=line, data=data, loss=loss, batch=8, epochs=2, name="line")
made = lambda: good
unbuildable = Task(model=other, data=data, loss=loss)
vector = Task(model=line, data=data, loss=lambda output, target: (output - target) ** 2)
poisoned = Task(model=line, data=(x * float("nan"), x), loss=loss)
empty = Task(model=line, data=[], loss=loss, length=5)
crooked = Task(model=line, data=(torch.ones(8, 3), torch.ones(8, 1)), loss=loss)
no_task = 5
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of tasks, where the user stands."""
    name = f"tasks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path / name


def test_sweep_prints_the_ranking_and_the_answer_and_writes_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "new" / "place"
    result = run("sweep", "airfoil", "--data", str(data_folder()), *SMALL, "--out", str(place))
    assert result.exit_code == 0, result.stderr
    ranked = re.findall(r"^ *(?:≈ )?[12] +(adam|lion) ", result.stdout, re.MULTILINE)
    assert set(ranked) == {"adam", "lion"}
    assert "best, with a training loss of" in result.stdout
    assert "optimizer = " in result.stdout
    assert "2 optimizers × 2 learning rates × 1 seed, runs of 150 steps" in result.stderr
    assert "done: 4 runs" in result.stderr
    names = {p.name for p in place.iterdir()}
    pictures = {f"{name}.{ending}" for name in ("curves", "rates") for ending in ("png", "svg")}
    assert names == {"results.json", "runs.csv", "report.md", "report.html", "study.db"} | pictures
    assert f"see {place / 'report.html'}" in result.stderr
    assert len((place / "runs.csv").read_text("utf-8").splitlines()) == 1 + 4
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{place}/study.db")
    assert study.n_trials == 4


def test_the_lines_to_paste_run(tmp_path: Path) -> None:
    result = run("sweep", "digits", *SMALL, "--out", str(tmp_path))
    lines = [line.strip() for line in result.stdout.partition("best, with")[2].splitlines() if line.startswith("    ")]
    assert lines[-1].startswith("optimizer = ")
    program = "\n".join(["import torch", "model = torch.nn.Linear(2, 1)", *lines, "optimizer.step()"])
    subprocess.run([sys.executable, "-c", program], check=True)


def test_sweep_as_json_is_the_file_and_quiet_is_quiet(tmp_path: Path) -> None:
    result = run("sweep", "digits", *SMALL, "--out", str(tmp_path), "--json", "--quiet")
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert document["task"]["name"] == "digits"
    assert 0 < document["ranking"][0]["metric"]["median"] < 1
    assert document["complete"] is True


def test_a_task_of_ones_own(own: Path) -> None:
    for name in ("good", "made"):
        result = run("sweep", f"{own.name}:{name}", *SMALL, "--out", str(own.parent / name))
        assert result.exit_code == 0, result.stderr
        assert "line: " in result.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unbuildable", ["the model cannot be built", "no layers left"]),
        ("vector", ["loss must give a scalar", "(64, 1)"]),
        ("poisoned", ["loss is nan before the first step"]),
        ("empty", ["no batch", "must not be empty"]),
        ("crooked", ["a training step fails", "mat1 and mat2"]),
        ("no_task", ["must be a stepwell.lab.Task", "int"]),
        ("missing", ["no 'missing'"]),
    ],
)
def test_what_is_wrong_with_a_task_is_said(own: Path, name: str, words: list[str]) -> None:
    result = run("sweep", f"{own.name}:{name}", *SMALL, "--out", str(own.parent / "out"))
    assert (result.exit_code, result.stdout) == (2, "")
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert not (own.parent / "out" / "results.json").exists()


def test_a_module_that_is_not_there_or_broken(own: Path) -> None:
    refused(run("sweep", "nowhere_at_all:task"), "no module 'nowhere_at_all'")
    (own.parent / f"{own.name}_broken.py").write_text("1 / 0")
    refused(run("sweep", f"{own.name}_broken:task"), "cannot be imported", "ZeroDivisionError")


@pytest.mark.parametrize("after", [0, 1])
def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    groups: list[int] = []

    def interrupted(*args: Any) -> Any:
        if len(groups) == after:
            raise KeyboardInterrupt
        groups.append(len(args[2]))
        return train_group(*args)

    options = ["airfoil", "--data", str(data_folder()), *SMALL, "--seeds", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(search, "train_group", interrupted)
    result = run("sweep", *options)
    assert result.exit_code == 130
    kept = sum(groups)
    if after:
        document = json.loads((tmp_path / "results.json").read_text("utf-8"))
        assert (document["complete"], len(document["runs"])) == (False, kept)
        assert f"interrupted: {count(kept, 'run')}" in result.stderr
        assert (tmp_path / "report.md").exists()
    else:
        assert "nothing was trained" in result.stderr
        assert not (tmp_path / "results.json").exists()
    trained: list[Any] = []

    def counted(*args: Any) -> Any:
        trained.extend(args[2])
        return train_group(*args)

    monkeypatch.setattr(search, "train_group", counted)
    result = run("sweep", *options, "--resume")
    assert result.exit_code == 0, result.stderr
    assert len(trained) == 8 - kept
    whole = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert whole["complete"] is True
    assert len({(r["optimizer"], r["lr"], r["seed"]) for r in whole["runs"]}) == len(whole["runs"]) == 8


def test_killed_in_the_middle_and_resumed_it_repeats_nothing(tmp_path: Path) -> None:
    options = ["sweep", "digits", "--only", "momentum,adam,lion", "--rates", "3", "--seeds", "4", "--epochs", "15"]
    command = [sys.executable, "-m", "stepwell", *options, "--workers", "1", "--out", str(tmp_path), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"sqlite:///{tmp_path}/study.db"
    deadline = time.monotonic() + 120
    kept = 0
    while time.monotonic() < deadline and process.poll() is None and not kept:
        time.sleep(0.05)
        if (tmp_path / "study.db").exists():
            kept = _trials(url)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept
    before = _numbers(url)
    subprocess.run([*command, "--resume"], check=True, stdout=subprocess.DEVNULL)
    document = json.loads((tmp_path / "results.json").read_text("utf-8"))
    runs = [(r["optimizer"], r["lr"], r["seed"]) for r in document["runs"]]
    assert document["complete"]
    assert len(set(runs)) == len(runs) == _trials(url)
    assert set(before.items()) <= set(_numbers(url).items())  # nothing was done again


def _trials(url: str) -> int:
    try:
        return sum(summary.n_trials for summary in optuna.get_all_study_summaries(url))
    except Exception:
        return 0  # the file is being made


def _numbers(url: str) -> dict[int, str]:
    (name,) = optuna.get_all_study_names(url)
    return {t.number: repr((t.params, t.values)) for t in optuna.load_study(study_name=name, storage=url).trials}


def test_what_is_done_is_written_while_more_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(*args: Any) -> Any:
        seen.append(len(json.loads(kept.read_text("utf-8"))["runs"]) if kept.exists() else 0)
        return train_group(*args)

    kept = tmp_path / "results.json"
    monkeypatch.setattr(lab, "KEEP_EVERY", -1.0)
    monkeypatch.setattr(search, "train_group", watched)
    options = ("--only", "adam", "--rates", "1", "--epochs", "1", "--workers", "1", "--out", str(tmp_path))
    assert run("sweep", "airfoil", "--data", str(data_folder()), *options).exit_code == 0
    assert seen == [0, 1, 2]
    assert json.loads(kept.read_text("utf-8"))["complete"] is True


def test_a_full_disk_is_said_and_the_ranking_still_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    result = run("sweep", "digits", *SMALL, "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "adam" in result.stdout
    assert {p.name for p in tmp_path.iterdir()} == {"study.db"}


def test_sweep_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    refused(run("sweep", "digit", *out), "did you mean digits", "airfoil")
    refused(run("sweep", "digits", "--only", "adam,lino", *out), "'lino'", "did you mean lion", "yogi")
    refused(run("sweep", "digits", "--data", str(tmp_path), *out), "--data")
    refused(run("sweep", "digits", "--halving", "1", *out), "halving must be 0 or an integer ≥ 2")
    refused(run("sweep", "digits", "--trials", "3", "--sampler", "random", *out), "sampler must be one of tpe, qmc")
    (tmp_path / "airfoil_self_noise.dat").write_text("1 2 3")
    refused(run("sweep", "airfoil", "--data", str(tmp_path), *out), "sha256", "74c75fd71783f1e6")
    assert not (tmp_path / "out").exists()
    refused(run("sweep", "digits", "--only", "adam", "--out", str(tmp_path / "airfoil_self_noise.dat")), "exists")
    refused(run("sweep", "digits", "--resume", *out), "no study 'digits'")
    (tmp_path / "damaged.db").write_bytes(os.urandom(5000))
    refused(run("sweep", "digits", "--storage", f"sqlite:///{tmp_path}/damaged.db", *out), "not a database")
    assert run("sweep", "digits", "--seeds", "0", *out).exit_code == 2


def test_trace_follows_the_book(tmp_path: Path) -> None:
    result = run("trace", "ravine", "gradient_descent,momentum", "--lr", "0.4,0.6", "--start=-5,-2", "--json")
    found = {each["optimizer"]: each["path"][-1] for each in json.loads(result.stdout)["traces"]}
    assert found["gradient_descent"] == pytest.approx([-0.943467, -0.000073], abs=1e-6)
    table = run("trace", "wave", "adam", "--steps", "3", "--out", str(tmp_path / "a.svg"))
    assert [line.split(",")[:2] for line in table.stdout.splitlines()] == [
        ["optimizer", "step"], *(["adam", str(k)] for k in range(4)),
    ]  # fmt: skip
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<?xml")
    run("trace", "beale", "momentum", "--lr", "1", "--out", str(tmp_path / "diverged.png"))
    assert (tmp_path / "diverged.png").stat().st_size > 10_000


def test_trace_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    refused(run("trace", "ravin"), "did you mean ravine")
    refused(run("trace", "ravine", "adma"), "did you mean adam")
    refused(run("trace", "ravine", "adam", "--lr", "fast"), "--lr must be numbers")
    refused(run("trace", "ravine", "adam,lion,momentum", "--lr", "1,2"), "one for each of 3")
    refused(run("trace", "ravine", "--start", "1"), "--start must be 2 numbers")
    refused(run("trace", "ravine", "adam", "--lr", "-1"), "lr must be")
    refused(run("trace", "ravine", "--out", str(tmp_path / "a.gif")), ".png")
