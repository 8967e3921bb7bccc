"""Work in several forked processes of one process group, each of which sends what it found."""

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import numba  # noqa: F401  (here, and not in each process anew)
import pytest
import torch
import torch.distributed as dist

LIMIT = 150.0  # seconds after which a process counts as hung
MOMENT = 0.5
PATIENCE = timedelta(seconds=100)  # of a process that waits for another one

needs_processes = pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available() or "fork" not in multiprocessing.get_all_start_methods(),
    reason="torch without gloo, or no fork on this system",
)


def found_by(count: int, target: Callable[..., Any], *args: Any, limit: float = LIMIT) -> list[Any]:
    """What `target(rank, *args)` returns in each of `count` processes; an error if one fails, dies or is silent."""
    ends = outcomes(count, target, *args, limit=limit)
    for rank, (kind, value) in enumerate(ends):
        assert kind == "found", f"process {rank} {kind}: {value}"
    return [value for _, value in ends]


def outcomes(
    count: int, target: Callable[..., Any], *args: Any, limit: float = LIMIT, patience: timedelta = PATIENCE,
    lost: int | None = None,
) -> list[tuple[str, Any]]:  # fmt: skip
    """How each process ended: ("found", what it returned), ("failed", its traceback), ("died", its exit code), or not.

    Nobody waits for the one that is `lost`, but for a moment.
    """
    with tempfile.TemporaryDirectory() as folder:
        started = [_started(rank, count, folder, patience, target, args) for rank in range(count)]
        try:
            last = sorted(range(count), key=lambda rank: rank == lost)
            found = {rank: _end(*started[rank], MOMENT if rank == lost else limit) for rank in last}
            return [found[rank] for rank in range(count)]
        finally:
            for child, _ in started:
                child.kill()
                child.join()


def _started(rank: int, count: int, folder: str, patience: timedelta, *work: Any) -> tuple[Any, Connection]:
    """A process, and the end of its pipe, which ends with it: no process begun later holds the other end."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(rank, count, folder, patience, sender, *work), daemon=True)
    child.start()
    sender.close()
    return child, receiver


def _end(child: Any, receiver: Connection, limit: float) -> tuple[str, Any]:
    if not receiver.poll(limit):
        return "hangs", f"no word for {limit} s"
    try:
        return receiver.recv()
    except EOFError:
        child.join(limit)
        return "died", child.exitcode


def _work(
    rank: int, count: int, folder: str, patience: timedelta, sender: Connection, target: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:  # fmt: skip
    torch.set_num_threads(1)
    store = dist.FileStore(os.path.join(folder, "store"), count)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=patience)
    try:
        sender.send(("found", target(rank, *args)))
        dist.barrier()
    except BaseException:
        sender.send(("failed", traceback.format_exc()))
    finally:
        sender.close()
        dist.destroy_process_group()
