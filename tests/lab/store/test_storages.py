"""Places where no study can be kept: each is refused in words, with nothing lost and nothing changed there."""

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from sqlalchemy import event

from stepwell.lab.store.study import Store, StoreError
from tests.lab.stored import SETTINGS, group


def opened(url: object, *, resume: bool = True, timeout: float = 30) -> Store:
    return Store.open(str(url), "sweep", SETTINGS, resume=resume, timeout=timeout)


def sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "nonsense",
            r"storage must be a URL such as sqlite:///runs/study\.db, or a path that ends in \.log or \.journal",
        ),
        ("", "storage must be a URL"),
        ("runs/study.db", r"got 'runs/study\.db'; did you mean sqlite:///runs/study\.db\?"),
        ("postgresql://me:word@host:port/db", "storage must be a URL"),
        ("redis://host", "storage must be a database that SQLAlchemy knows; got 'redis' in redis://host"),
        ("sqlite+unheard://", r"got 'sqlite\+unheard'"),
    ],
)
def test_a_url_that_is_none(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        opened(url)


def test_a_driver_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(StoreError, match=r"me:\*\*\*@host/db needs psycopg2, .*: pip install 'psycopg2-binary'"):
        opened("postgresql+psycopg2://me:word@host/db")


@pytest.mark.parametrize("name", ["a b {c} 100% ü.db", "a b {c} 100% ü.log", "plain.journal"])
def test_names_of_files(name: str, tmp_path: Path) -> None:
    url = tmp_path / "new" / "folders" / name
    opened(sqlite(url) if name.endswith("db") else url).add(group(0))
    assert url.stat().st_size
    assert opened(sqlite(url) if name.endswith("db") else url).runs() == group(0)


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///runs/study.db", "runs/study.log", "study.log"):
        opened(url).add(group(0))
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "study.log"}
    assert Store.open("sqlite:///:memory:", "sweep", {}).runs() == []


@pytest.mark.parametrize("name", ["sqlite", "log"])
def test_a_folder_that_cannot_be_made(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    url = sqlite(tmp_path / "file/study.db") if name == "sqlite" else tmp_path / "file/study.log"
    with pytest.raises(StoreError, match=r"the storage .*file.* fails: .*(Not a directory|exists)"):
        opened(url)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    opened(sqlite(path)).add(group(0))
    reader = opened(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert reader.runs() == group(0)
    with pytest.raises(StoreError, match="it cannot be written to: attempt to write a readonly database"):
        reader.add(group(8))
    with pytest.raises(StoreError, match="it cannot be written to"):
        Store.open(f"sqlite:///file:{path}?mode=ro&uri=true", "another", {})
    with pytest.raises(StoreError, match="it cannot be opened"):
        opened(sqlite(tmp_path))  # a folder


def test_files_that_are_something_else(tmp_path: Path) -> None:
    text = tmp_path / "notes"
    text.write_text("my notes, with no newline at the end" * 40)
    with pytest.raises(StoreError, match="it is not an SQLite database: file is not a database"):
        opened(sqlite(text))
    for content in ("my notes", '{"time": 1}\n', "\n"):
        log = tmp_path / "my.log"
        log.write_text(content)
        with pytest.raises(StoreError, match=r"my\.log is not a journal of Optuna: it begins with"):
            opened(log)
        assert log.read_text() == content
    with database(tmp_path / "theirs.db") as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = (tmp_path / "theirs.db").read_bytes()
    with pytest.raises(StoreError, match=r"theirs\.db is a database of another program, with the tables recipes"):
        opened(sqlite(tmp_path / "theirs.db"))
    assert (tmp_path / "theirs.db").read_bytes() == before


def test_damaged_files(tmp_path: Path) -> None:
    whole = tmp_path / "study.db"
    opened(sqlite(whole)).add(group(0))
    short = tmp_path / "short.db"
    short.write_bytes(whole.read_bytes()[:20000])
    with pytest.raises(
        StoreError, match=r"short\.db fails: it is damaged or cut short: database disk image is malformed"
    ):
        opened(sqlite(short))
    log = tmp_path / "study.log"
    opened(log).add(group(0))
    lines = log.read_text().splitlines(keepends=True)
    for bad in ("{half a line\n", '{"op_code":4}\n', '{"op_code":99}\n', "[]\n"):
        log.write_text("".join([*lines[:3], bad, *lines[3:]]))
        with pytest.raises(StoreError, match=r"study\.log is damaged"):
            opened(log)


@pytest.mark.parametrize("size", [1, 3, 5000, 20000])
def test_the_last_line_of_a_journal_is_cut_short(size: int, tmp_path: Path) -> None:
    log = tmp_path / "study.log"
    opened(log).add(group(0, 2))
    whole = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"' + b"x" * size)
    store = opened(log)
    assert store.runs() == group(0, 2)
    store.add(group(2, 2))
    assert opened(log).runs() == group(0, 4)
    assert log.read_bytes().startswith(whole)
    log.write_bytes(b'{"op_'[:size])  # killed at the very beginning
    opened(log).add(group(0))
    assert opened(log).runs() == group(0)


def test_a_lock_that_a_dead_process_left(tmp_path: Path) -> None:
    (tmp_path / "study.log.lock").touch()
    started = time.monotonic()
    opened(tmp_path / "study.log", timeout=1).add(group(0))
    assert time.monotonic() - started > 1
    assert [p.name for p in tmp_path.iterdir()] == ["study.log"]


def test_a_schema_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    opened(sqlite(path)).add(group(0))
    for version, cure in (("v3.0.0.a", "optuna storage upgrade"), ("v99.0.0", "pip install -U optuna")):
        with database(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [version])
        with pytest.raises(StoreError, match=f"is of another version of Optuna: .*{cure}"):
            opened(sqlite(path))


def test_a_database_that_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    store = opened(sqlite(path), timeout=0.2)
    store.add(group(0))
    with database(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        for call in (lambda: opened(sqlite(path), timeout=0.2), lambda: store.add(group(8)), store.runs):
            started = time.monotonic()
            with pytest.raises(
                StoreError, match=r"study\.db fails: another program holds it locked: database is locked"
            ):
                call()
            assert 0.2 <= time.monotonic() - started < 2
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")  # a writer that has not finished
        assert store.runs() == group(0)
        with pytest.raises(StoreError, match="another program holds it locked"):
            store.add(group(8))
        connection.execute("ROLLBACK")
    store.add(group(8))
    assert store.runs() == group(0, 16)


def test_a_full_disk_under_a_database(tmp_path: Path) -> None:
    store = opened(sqlite(tmp_path / "study.db"))
    store.add(group(0))
    assert store._log._rows is not None
    engine = store._log._rows.engine

    def narrow(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # which SQLite takes for: as it is

    event.listen(engine, "connect", narrow)
    with pytest.raises(StoreError, match="the disk is full: database or disk is full"):
        store.add(group(8, 100))
    assert store.runs() == group(0)
    assert len(store.study.trials) == 8
    event.remove(engine, "connect", narrow)
    store.add(group(8, 100))
    assert store.runs() == opened(sqlite(tmp_path / "study.db")).runs() == group(0, 108)


@pytest.mark.parametrize("kind", ["sqlite", "log"])
def test_files_that_may_not_grow(kind: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / f"study.{kind}"
    store = opened(path if kind == "log" else sqlite(path))
    store.add(group(0))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5000, limit[1]))
        with pytest.raises(StoreError, match=r"it cannot be read or written: disk I/O error|File too large"):
            store.add(group(8, 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    kept = store.runs()
    assert kept == group(0, len(kept))
    assert len(kept) == 8 if kind == "sqlite" else 8 < len(kept) < 108
    store.add(group(8, 100))
    assert store.runs() == group(0, 108)
    assert len(store.study.trials) == 108
    again = opened(path if kind == "log" else sqlite(path))
    assert again.runs() == group(0, 108)


def test_a_study_that_is_deleted_under_a_sweep(tmp_path: Path) -> None:
    store = opened(url := sqlite(tmp_path / "study.db"))
    optuna.delete_study(study_name="sweep", storage=url)
    for call in (lambda: store.add(group(0)), store.runs):
        with pytest.raises(StoreError, match="has no such study any more"):
            call()
    (tmp_path / "study.db").unlink()
    with pytest.raises(StoreError, match="no such table"):
        store.add(group(0))


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="permissions of Unix")
@pytest.mark.parametrize("name", ["sqlite:///study.db", "study.log"])
def test_a_folder_that_may_not_be_written(name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    with contextlib.chdir(tmp_path), pytest.raises(StoreError, match=r"cannot be opened|Permission denied"):
        opened(name)
