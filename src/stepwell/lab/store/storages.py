"""Where an Optuna study can lie: memory, a database, a journal file; and, where one fails, words for the user."""

import contextlib
import logging
import math
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepwell.lab.store import server

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, JournalStorage, RDBStorage
    from sqlalchemy import URL

JOURNALS = (".log", ".journal")
FIRST = b'{"op_code":'  # what each line of Optuna's journal begins with
SQLITE = {
    "SQLITE_BUSY": "another program holds it locked",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_CORRUPT": "it is damaged or cut short",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "it cannot be read or written",
    "SQLITE_NOTADB": "it is not an SQLite database",
    "SQLITE_READONLY": "it cannot be written to",
}
DRIVERS = {"MySQLdb": "mysqlclient", "psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}  # to install


class StoreError(Exception):
    """What is wrong with the place where runs are kept, in words for the user."""


def opened(url: str | None, timeout: float) -> "BaseStorage":
    """The storage at a URL, made if it is not there; see `stepwell.lab.store.study.Store.open`.

    Errors: `StoreError`, also for a file that is something else, which is left as it is.
    """
    from optuna.storages import InMemoryStorage

    if url is None:
        return InMemoryStorage()
    with explained(url):
        if "://" not in url and url.endswith(JOURNALS):
            return _journal(Path(url), timeout)
        return _database(url, timeout)


def beside(folder: Path) -> str:
    """The URL of the SQLite database study.db in a folder, whatever signs its name has."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(folder / "study.db")).render_as_string()


def place(url: str | None) -> str:
    """What to call a storage in a message, without its password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string() if url and "@" in url else url or "memory"
    except (ArgumentError, ValueError):
        return str(url)


@contextlib.contextmanager
def explained(url: str | None) -> Iterator[None]:
    """Optuna says nothing inside, and what fails there is a `StoreError`; so is a server that does not answer."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _quiet(), server.limited(url):
            yield
    except KeyError as error:  # Optuna's, for a study that was deleted
        raise StoreError(f"the storage {place(url)} has no such study any more") from error
    except (OSError, ValueError, sqlite3.Error, SQLAlchemyError, OptunaError) as error:
        cause = _root(error)
        name = getattr(cause, "sqlite_errorname", "")
        words = next((f"{words}: " for start, words in SQLITE.items() if name.startswith(start)), "")
        raise StoreError(f"the storage {place(url)} fails: {words}{str(cause).strip()}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _root(error: BaseException) -> BaseException:
    while deeper := getattr(error, "orig", None) or error.__cause__:
        error = deeper
    return error


def _database(url: str, timeout: float) -> "RDBStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy import NullPool

    parsed = _parsed(url)
    options: dict[str, Any] = server.options(url, parsed)
    if parsed.get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": timeout}}
        file = parsed.database or ":memory:"
        if file != ":memory:":
            options["poolclass"] = NullPool  # no connection is open across a fork
            if not file.startswith("file:"):
                _look(Path(file), timeout)
    literal = server.with_driver(url, parsed).replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template
    for attempt in range(6):
        try:
            return RDBStorage(literal, engine_kwargs=dict(options))
        except ImportError as error:
            driver = getattr(_root(error), "name", None) or "the driver"
            package = DRIVERS.get(driver, driver)
            raise StoreError(f"{place(url)} needs {driver}, which is not here: pip install '{package}'") from error
        except RuntimeError as error:  # Optuna's words about a schema of another version
            raise StoreError(f"the storage {place(url)} is of another version of Optuna: {error}") from error
        except Exception as error:
            if attempt == 5 or not _raced(error):
                raise
        time.sleep(0.05 * 2**attempt)
    raise AssertionError


def _raced(error: Exception) -> bool:
    """Whether another process was making the same tables at the same time."""
    words = str(_root(error)).lower()
    return "already exists" in words or "unique" in words


def _parsed(url: str) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except NoSuchModuleError:
        kind = url.split("://")[0]
        raise StoreError(f"storage must be a database that SQLAlchemy knows; got {kind!r} in {place(url)}") from None
    except (ArgumentError, ValueError):
        hint = f"; did you mean sqlite:///{url}?" if url.endswith((".db", ".sqlite", ".sqlite3")) else ""
        ways = f"a URL such as sqlite:///runs/study.db, or a path that ends in {' or '.join(JOURNALS)}"
        raise StoreError(f"storage must be {ways}; got {url!r}{hint}") from None
    return parsed


def _look(path: Path, timeout: float) -> None:
    """Make a file's folder, or read the file's tables before Optuna adds its own to them.

    Errors: `StoreError` if it is another program's database; `sqlite3.Error` if it is none, or locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=timeout)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not tables & {"studies", "version_info"}:
        raise StoreError(f"{path} is a database of another program, with the tables {', '.join(sorted(tables))}")


def _journal(path: Path, timeout: float) -> "JournalStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        with path.open("rb") as file:
            begin = file.read(len(FIRST))
        if not FIRST.startswith(begin):
            raise StoreError(f"{path} is not a journal of Optuna: it begins with {begin!r}")
    lock: Any = _Mending(path, JournalFileOpenLock(str(path), grace_period=max(1, math.ceil(timeout))))
    try:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (ValueError, KeyError, AssertionError, TypeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error


class _Mending:
    """A lock of a journal that cuts off a last line which is not whole.

    A killed process or a full disk leaves one; a line that came after it would make the file unreadable.
    """

    def __init__(self, path: Path, lock: Any):
        self.path, self.lock = path, lock

    def acquire(self) -> bool:
        self.lock.acquire()
        try:
            self._mend()
        except BaseException:
            self.lock.release()
            raise
        return True

    def release(self) -> None:
        try:
            self._mend()
        finally:
            self.lock.release()

    def _mend(self) -> None:
        with self.path.open("rb+") as file:
            end = size = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - 4096)
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
