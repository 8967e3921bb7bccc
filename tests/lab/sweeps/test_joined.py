"""Processes that share a sweep by a file: together they do what one does, whenever they come and however they go."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from stepwell.lab import sweep
from stepwell.lab.store.study import SettingsError, Store, StoreError
from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import Trial
from tests.lab import several
from tests.lab.several import PATIENCE, one_process, process, same, stored, until_there

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def expected() -> dict[Trial, list[float]]:
    return one_process()


@pytest.fixture(params=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else f"{tmp_path}/study.log"


def test_two_processes_do_what_one_does(url: str, tmp_path: Path, expected: dict[Trial, list[float]]) -> None:
    both = [process(url, tmp_path / name) for name in "ab"]
    documents = []
    for each in both:
        out, error = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, error
        documents.append(json.loads(out))
    same(stored(url), expected)
    assert documents[0]["complete"]
    assert documents[0]["runs"] == documents[1]["runs"]
    assert documents[0]["ranking"] == documents[1]["ranking"]
    assert len(documents[0]["runs"]) == len(expected)


def test_what_a_killed_process_had_begun_is_done_by_the_other(
    url: str, tmp_path: Path, expected: dict[Trial, list[float]]
) -> None:
    killed = process(url, tmp_path / "a")
    until_there(url, 1, killed)
    other = process(url, tmp_path / "b")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    out, error = other.communicate(timeout=PATIENCE)
    assert other.returncode == 0, error
    same(stored(url), expected)
    assert len(json.loads(out)["runs"]) == len(expected)


def test_a_process_that_comes_when_all_is_done_has_all(tmp_path: Path) -> None:
    where = str(tmp_path / "study.log")
    options: dict[str, Any] = {"rates": 1, "seeds": 2, "workers": 1, "storage": where, "join": True}
    first = sweep(several.task, ["adam"], **options)
    again = sweep(several.task, ["adam"], **options)
    assert first.complete
    assert again.complete
    assert first.ranking() == again.ranking()
    assert [run.trial for run in again.ordered()] == [run.trial for run in first.ordered()]


def test_other_settings_are_refused_also_before_there_is_a_run(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path}/study.db"
    Store.open(where, "together", {"seeds": 3}, join=True)
    with pytest.raises(SettingsError, match="begun with other settings: seeds is 3 there, 4 here"):
        Store.open(where, "together", {"seeds": 4}, join=True)
    Store.open(where, "together", {"seeds": 3}, join=True)


def test_what_is_in_memory_cannot_be_shared() -> None:
    with pytest.raises(StoreError, match="in a storage that they all have: a URL or a path; got none"):
        sweep(several.task, ["adam"], join=True)


def test_who_leaves_leaves_its_groups_to_others(tmp_path: Path) -> None:
    """At once, not after the lease: what it had taken is free when it has been interrupted."""
    where = str(tmp_path / "study.log")
    first = several.search(workers=1)
    first.keep_in(Store.open(where, "together", first.settings(), join=True))
    runs = iter(Results.of(first).gather(first))
    done = [next(runs)]
    runs.close()  # pyright: ignore[reportAttributeAccessIssue]
    claims = Store.open(where, "together", first.settings(), join=True).claims()
    trials = first.strategy.propose(first.done)
    assert done[0].trial not in trials
    assert claims.free(trials) == trials
    claims.close()
