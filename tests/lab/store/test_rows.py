"""Trials in bulk: what Optuna reads of them is what it reads of trials that it added itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import SQLAlchemyError

from stepwell.lab.store import records
from stepwell.lab.store import rows as module
from stepwell.lab.store.rows import SCHEMA, Rows
from stepwell.lab.store.study import Store
from tests.lab.stored import SETTINGS, group, run

RUNS = [*group(0), run(100, lr=1e-300, hyper=()), run(101, None, None, optimizer="momentum")]


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set")
@pytest.mark.usefixtures("_far_from_greenwich")
def test_equal_to_optunas_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    bulk = Store.open(url, "bulk", SETTINGS)
    trials = [records.to_trial(r, SETTINGS["optimizers"]) for r in RUNS]
    assert bulk._log._rows is not None
    bulk._log._rows.insert(bulk._id, lambda _: trials[:4])
    bulk._log._rows.insert(bulk._id, lambda _: trials[4:])
    own = optuna.create_study(study_name="own", storage=url)
    own.add_trials(trials)
    pairs = list(zip(bulk.study.trials, own.trials, strict=True))
    assert len(pairs) == len(RUNS)
    for ours, theirs in pairs:
        ours._trial_id = theirs._trial_id = 0
        assert ours == theirs
        assert ours.distributions == theirs.distributions


def test_a_schema_that_is_not_known_is_left_to_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEMA", "v9")
    store = Store.open(f"sqlite:///{tmp_path}/study.db", "sweep", SETTINGS)
    assert store._log._rows is None
    store.add(RUNS)
    assert store.runs() == RUNS


def test_the_schema_is_known() -> None:
    storage = optuna.storages.RDBStorage("sqlite:///:memory:")
    assert storage.get_head_version() == SCHEMA
    assert Rows.of(storage)
    assert Rows.of(optuna.storages.InMemoryStorage()) is None


def test_all_or_none(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/study.db", "sweep", SETTINGS)
    trials = [records.to_trial(r, SETTINGS["optimizers"]) for r in RUNS]
    trials[-1].user_attrs["bad"] = object()
    assert store._log._rows is not None
    with pytest.raises(TypeError):
        store._log._rows.insert(store._id, lambda _: trials)
    with pytest.raises(SQLAlchemyError):
        store._log._rows.insert(99, lambda _: trials[:1])
    assert store.runs() == []
    assert store.study.trials == []


def test_nobody_else_counts_and_adds_meanwhile(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    store, other = (Store.open(url, "sweep", SETTINGS, timeout=0.1) for _ in range(2))
    rows, others = store._log._rows, other._log._rows
    assert rows
    assert others
    trials = [records.to_trial(run(), SETTINGS["optimizers"])]
    with rows.engine.connect() as connection, connection.begin():
        assert rows._locked(connection, store._id) == 0
        with pytest.raises(SQLAlchemyError, match="locked"):
            others.insert(other._id, lambda _: trials)
    others.insert(other._id, lambda _: trials)
    with rows.engine.connect() as connection, connection.begin():
        assert rows._locked(connection, store._id) == 1
