"""A database on a server: how long it may take, for none of Optuna, SQLAlchemy and the drivers has a limit for all."""

import contextlib
import importlib.util
import os
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import URL

CONNECT = 15  # seconds until a server must have taken a connection
ANSWER = 60.0  # seconds until it must have done what it was asked
TIMED = ("psycopg", "psycopg2", "pymysql", "mysqldb")  # drivers that know the argument connect_timeout

_open: "dict[str, weakref.WeakSet[Any]]" = {}  # by URL, the connections to a server


def options(url: str, parsed: "URL") -> dict[str, Any]:
    """What an engine for a server is made with."""
    connections = _open.setdefault(url, weakref.WeakSet())
    return {
        "pool_pre_ping": True,  # a server may have been started anew since the last group
        "pool_events": [(lambda connection, _: connections.add(connection), "connect")],
        "connect_args": {"connect_timeout": CONNECT} if parsed.get_driver_name() in TIMED else {},
    }


def with_driver(url: str, parsed: "URL") -> str:
    """The URL, with the driver that is installed where it does not say which."""
    if parsed.drivername == "postgresql" and _there("psycopg2") and not _there("psycopg"):
        return parsed.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    return url


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # where there is something without a spec, or None, in its place
        return sys.modules.get(module) is not None


@contextlib.contextmanager
def limited(url: str | None) -> Iterator[None]:
    """What is under way at a server after `ANSWER` seconds ends with an error, as if the connection were lost."""
    if not url or "://" not in url or url.startswith("sqlite"):
        yield
        return
    timer = threading.Timer(ANSWER, _cut, (url,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(url: str) -> None:
    """Shut the connections down; a driver that waits for an answer then finds that there will be none."""
    for each in list(_open.get(url, ())):
        with contextlib.suppress(Exception), socket.socket(fileno=os.dup(each.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
