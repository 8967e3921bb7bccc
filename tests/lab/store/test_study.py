"""The store: what is kept comes back equal, a sweep resumes, and neither a kill nor a second writer does harm."""

import contextlib
import json
import logging
import logging.handlers
import math
import queue
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from stepwell.lab.store.study import Store, StoreError
from tests.lab.stored import GROUP, SETTINGS, group, run

KINDS = ("sqlite", "journal", "memory")
RUNS = [
    run(),
    run(1, None, None, taken=200, best=2 / 3, curve={"step": [200, 400], "loss": [2 / 3, None], "metric": []}),
    run(2, metric=None, hyper=(), goal_step=200),
    run(3, loss=5e-324, lr=1e-300, hyper=(("beta1", 1 - 1e-16), ("eps", 0.0), ("weight_decay", -1e300))),
    run(2**53 - 1, loss=-math.pi * 1e300, lr=0.0, steps=1, optimizer="the user's own"),
    run(4, loss=math.nextafter(1, 2), lr=1e308, hyper=(("momentum", 0.1 + 0.2),)),
]


def url(kind: str, folder: Path) -> str | None:
    return {"sqlite": f"sqlite:///{folder}/runs/study.db", "journal": f"{folder}/runs/study.log", "memory": None}[kind]


def opened(where: str | None, settings: Any = SETTINGS, **more: Any) -> Store:
    return Store.open(where, "sweep", settings, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_comes_back_equal(kind: str, tmp_path: Path) -> None:
    store = opened(url(kind, tmp_path))
    assert store.runs() == []
    store.add(RUNS[:2])
    store.add(RUNS[2:])
    store.add([])
    assert store.runs() == RUNS
    assert store.runs()[0].hyper == RUNS[0].hyper
    if where := url(kind, tmp_path):
        assert opened(where, resume=True).runs() == RUNS


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_what_another_process_added_meanwhile_is_not_added_again(kind: str, tmp_path: Path) -> None:
    one, two = (opened(url(kind, tmp_path), join=True) for _ in range(2))
    assert one.add([run(0), run(1)]) == [run(0), run(1)]
    assert two.add([run(1, loss=9.0), run(2)]) == [run(0), run(1), run(2)]
    assert one.later() == [run(2)]
    assert one.later() == two.later() == []
    assert one.runs() == two.runs() == opened(url(kind, tmp_path), join=True).runs()
    assert len(one.study.trials) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_each_trial_once_and_the_first_counts(kind: str, tmp_path: Path) -> None:
    first = opened(url(kind, tmp_path))
    first.add([run(0), run(1), run(0, loss=9.0)])
    first.add([run(1, loss=9.0), run(2)])
    assert first.runs() == [run(0), run(1), run(2)]
    assert len(first.study.trials) == 3
    if where := url(kind, tmp_path):
        opened(where, resume=True).add([run(0, loss=7.0), run(3)])  # knows of none, as in a race
        assert first.runs() == [run(0), run(1), run(2), run(3)]


def test_the_files_are_strict_json(tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    for kind in ("sqlite", "journal"):
        opened(url(kind, tmp_path)).add(RUNS)
    lines = (tmp_path / "runs/study.log").read_text().splitlines()
    with contextlib.closing(sqlite3.connect(tmp_path / "runs/study.db")) as connection:
        lines += [text for (text,) in connection.execute("SELECT value_json FROM trial_user_attributes")]
        values = connection.execute("SELECT value_type FROM trial_values").fetchall()
    assert len(lines) > 3 * len(RUNS)
    assert set(values) == {("FINITE",)}
    for line in lines:
        json.loads(line, parse_constant=refuse)


def test_optuna_opens_it(tmp_path: Path) -> None:
    where = url("sqlite", tmp_path)
    store = opened(where)
    with pytest.raises(ValueError, match=r"No trials|not exist"):
        _ = store.study.best_trial
    store.add([run(0, None)])
    with pytest.raises(ValueError, match=r"No trials|not exist"):  # a run that diverged is not the best one
        _ = store.study.best_trial
    store.add([run(1, 0.5), run(2, 0.25, lr=1e-2), run(3, None), run(4, 0.75, metric=None)])
    assert where is not None
    study = optuna.load_study(study_name="sweep", storage=where)
    states = [TrialState.PRUNED, TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]
    for each in (study, store.study):
        assert [t.state for t in each.trials] == states
        assert [t.number for t in each.trials] == [0, 1, 2, 3, 4]
        best = each.best_trial
        assert (best.number, best.value) == (2, 0.25)
        wanted = {"optimizer": "adam", "lr": 1e-2, "seed": 2, "steps": 400, "beta1": 0.9, "eps": 1e-8}
        assert best.params == wanted
        assert best.user_attrs["status"] == "done"
        assert best.user_attrs["metric"] == 0.1 + 0.2
        assert "metric" not in each.trials[4].user_attrs
        assert best.duration is not None
        assert best.duration.total_seconds() == pytest.approx(0.25)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_resume(kind: str, tmp_path: Path) -> None:
    where = url(kind, tmp_path)
    opened(where, {"rates": 3})  # empty: no obstacle
    opened(where).add(group(0))
    with pytest.raises(StoreError, match=r"study 'sweep' in .* has 8 runs: resume goes on with it; a study of"):
        opened(where)
    changed = {**SETTINGS, "task": {"name": "digits", "batch": 32}}
    with pytest.raises(StoreError, match=r"other settings: task\.batch is 64 there, 32 here"):
        opened(where, changed, resume=True)
    with pytest.raises(StoreError, match=r"other settings: rates\.2 is missing there, 0\.1 here"):
        opened(where, {**SETTINGS, "rates": [1e-3, 1e-2, 0.1]}, resume=True)
    with pytest.raises(StoreError, match=r'other settings: task\.name is "digits" there, missing here'):
        opened(where, {**SETTINGS, "task": {"batch": 64}}, resume=True)
    again = opened(where, json.loads(json.dumps(SETTINGS)), resume=True)
    again.add(group(GROUP))
    assert opened(where, resume=True).runs() == group(0, 2 * GROUP)
    assert Store.open(where, "another", {}).runs() == []


def test_a_study_that_another_sweep_took_over(tmp_path: Path) -> None:
    where = url("sqlite", tmp_path)
    first = opened(where)
    opened(where, {"rates": 3})
    with pytest.raises(StoreError, match="was begun with other settings: optimizers"):
        first.add(group(0))


def test_studies_that_are_not_a_sweeps(tmp_path: Path) -> None:
    where = url("sqlite", tmp_path)
    opened(where)
    optuna.create_study(study_name="theirs", storage=where).add_trial(optuna.trial.create_trial(value=1.0))
    optuna.create_study(study_name="up", storage=where, direction="maximize")
    optuna.create_study(study_name="empty", storage=where)
    for name in ("theirs", "up"):
        for resume in (False, True):
            with pytest.raises(StoreError, match=f"study '{name}' in sqlite.* is not a sweep's; a study of"):
                Store.open(where, name, SETTINGS, resume=resume)
    Store.open(where, "empty", SETTINGS).add([run()])


@pytest.mark.parametrize("kind", KINDS)
def test_trials_that_are_not_a_sweeps_are_passed_over(kind: str, tmp_path: Path) -> None:
    store = opened(url(kind, tmp_path))
    store.study.ask({"lr": optuna.distributions.FloatDistribution(1e-5, 1, log=True)})  # runs for ever
    store.study.enqueue_trial({"lr": 0.1})
    store.study.add_trial(optuna.trial.create_trial(value=-1.0))
    store.add([run()])
    waiting = store.study.trials[0]
    store._storage.set_trial_user_attr(waiting._trial_id, "stepwell_run", {"half": "written"})
    assert store.runs() == [run()]
    assert [t.number for t in store.study.trials] == [0, 1, 2, 3]


def test_a_run_of_another_version() -> None:
    store = opened(None)
    store.study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"stepwell_run": {"hyper": {}, "new": 1}}))
    with pytest.raises(StoreError, match="study 'sweep' in memory: trial 0 has a run of another version of Stepwell"):
        store.runs()


@pytest.mark.parametrize(
    "bad", [{"loss": math.nan}, {"seconds": math.inf}, {"curve": {"loss": [object()]}}, {"lr": "1"}]
)
def test_what_cannot_be_kept(bad: dict[str, Any]) -> None:
    store = opened(None)
    with pytest.raises(StoreError, match="a run has a number that cannot be kept"):
        store.add([run(), run(1, **bad)])
    assert store.runs() == []
    with pytest.raises(StoreError, match="settings must be what JSON has words for"):
        opened(None, {"task": bad.get("loss", object())})


def test_quiet_and_the_users_verbosity_is_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(heard)
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.addHandler(handler)
    try:
        logger.setLevel(logging.INFO)
        for kind in KINDS:
            opened(url(kind, tmp_path)).add(RUNS)
        with pytest.raises(StoreError):
            opened(url("sqlite", tmp_path))
        assert heard.empty()
        assert capfd.readouterr() == ("", "")
        optuna.create_study()
        assert not heard.empty()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_optuna_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StoreError, match=r"needs Optuna: pip install 'stepwell\[lab\]'"):
        opened(None)


def process(*arguments: str) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[3]
    command = [sys.executable, "-W", "error", "-m", "tests.lab.stored", *arguments]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL")
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_killed_at_any_moment(kind: str, tmp_path: Path) -> None:
    where = url(kind, tmp_path)
    assert where is not None
    out, error = (killed := process(where, "kill")).communicate()
    assert (killed.returncode, error) == (0, "")
    counts = [tuple(map(int, line.split())) for line in out.splitlines()]
    assert len(counts) == 6
    for groups, runs in counts:  # the one in flight may be kept, although it could not be said any more
        assert GROUP * groups <= runs <= GROUP * (groups + 1)
        assert kind == "journal" or runs % GROUP == 0


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_processes_write_at_once(kind: str, tmp_path: Path) -> None:
    where = url(kind, tmp_path)
    assert where is not None
    writers = [process(where, first, "5") for first in ("0", "1000")]  # which also make the file at once
    for writer in writers:
        out, error = writer.communicate()
        assert (writer.returncode, error, len(out.split())) == (0, "", 5)
    store = opened(where, resume=True)
    runs = store.runs()
    for first in (0, 1000):
        assert [r for r in runs if 0 <= r.seed - first < 1000] == group(first, 5 * GROUP)
    assert [t.number for t in store.study.trials] == list(range(len(runs)))
