"""What a task is known by: the same in every process, another for another task; runs of two tasks are never mixed."""

import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepwell import schedules
from stepwell.lab import sweep
from stepwell.lab.candidates import choose
from stepwell.lab.goal import Goal
from stepwell.lab.store.study import SettingsError, Store
from stepwell.lab.sweeps.fingerprint import fingerprint, foreign
from stepwell.lab.sweeps.search import Search
from stepwell.lab.task import Task
from tests.lab import small
from tests.lab.stored import run
from tests.lab.synthetic import of

TASK = small.task()
X, Y = small.data(small.ROWS, 0)


def wider() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def other_start() -> nn.Module:
    made = small.model()
    with torch.no_grad():
        next(made.parameters())[0, 0] += 1
    return made


def nll(output: Any, target: Any) -> Any:
    return nn.functional.nll_loss(output.log_softmax(-1), target)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"batch": 4}, r"task\.batch is 8 there, 4 here"),
    ({"clip_norm": 1.0}, r"task\.clip_norm is null there, 1\.0 here"),
    ({"schedule": schedules.cosine}, r"task\.schedule is null there, \"cosine\(steps=5, rate=1\.0, end=0\.0\)\" here"),
    ({"model": wider}, r"task\.parameters\.0\.weight is \"6×3 float64\" there, \"7×3 float64\" here"),
    ({"model": other_start}, r"task\.weights is"),
    ({"data": (100 * X, Y)}, r"task\.data\.mark is"),
    ({"data": (X.flip(1), Y)}, r"task\.data\.mark is"),
    ({"validation": small.data(small.HELD, 5)}, r"task\.validation\.mark is"),
    ({"loss": nll}, r"task\.loss is \"cross_entropy\" there, \"nll\" here"),
    ({"about": "something else"}, r"task\.about is"),
    ({"goal": Goal("loss", 0.5, "half")}, r"task\.goal"),
]


def settings(task: Task) -> dict[str, Any]:
    return Search(replace(task, length=5), ["adam"], rates=1, seeds=1).settings()


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_another_task_does_not_go_on_with_the_runs_of_one(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    where = f"sqlite:///{tmp_path}/a.db"
    Store.open(where, "one", settings(TASK)).add([run()])
    Store.open(where, "one", settings(small.task()), resume=True)
    with pytest.raises(SettingsError, match=f"was begun with other settings: {words}"):
        Store.open(where, "one", settings(replace(TASK, **change)), resume=True)


def test_a_function_of_the_same_name_is_known_by_the_runs_it_makes(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path}/a.db"
    makers: list[Callable[..., Any]] = [torch.optim.SGD, torch.optim.Adam]
    asked = [Search(TASK, {"adam": make}, rates=1, seeds=1).settings() for make in makers]
    Store.open(where, "one", asked[0]).add([run()])
    with pytest.raises(SettingsError, match=r'foreign\.adam is "SGD" there, "Adam" here'):
        Store.open(where, "one", asked[1], resume=True)
    assert foreign(choose(["adam", "lion"])) == {}


def test_a_study_from_before_the_task_was_kept_is_refused_kindly(tmp_path: Path) -> None:
    where, now = f"sqlite:///{tmp_path}/a.db", settings(TASK)
    before = {name: value for name, value in now.items() if name not in ("task", "foreign")}
    Store.open(where, "one", before).add([run()])
    with pytest.raises(SettingsError, match="is of an earlier Stepwell, which did not keep what the task was"):
        Store.open(where, "one", now, resume=True)


def test_sweep_in_python_refuses_to_mix_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stepwell.lab.sweeps import search as module

    monkeypatch.setattr(module, "train_group", lambda _t, _c, trials, *_: [of(trial, 1.0) for trial in trials])
    task = replace(TASK, length=4)
    options: dict[str, Any] = {"rates": 1, "seeds": 1, "workers": 1, "storage": f"sqlite:///{tmp_path}/a.db"}
    sweep(task, ["adam"], **options)
    assert len(sweep(task, ["adam"], resume=True, **options).runs) == 1
    with pytest.raises(SettingsError, match=r"task\.batch is 8 there, 4 here"):
        sweep(replace(task, batch=4), ["adam"], resume=True, **options)


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "import json, dataclasses; from tests.lab.small import task; "
        "from stepwell.lab.sweeps.fingerprint import fingerprint; "
        "print(json.dumps(fingerprint(dataclasses.replace(task(), schedule=lambda n: (lambda k: 0.5)), 18)))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3]
        ).stdout
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert "0x" not in found[0]
    assert '"schedule": "<lambda>"' in found[0]


def test_nothing_of_the_generators_is_left_behind() -> None:
    before = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    fingerprint(replace(TASK, data=[(X[:8], Y[:8])]), 18)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), pickle.dumps(np.random.get_state()))  # noqa: NPY002
