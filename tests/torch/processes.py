"""Work in two forked processes, each of which sends what it found."""

import multiprocessing
from collections.abc import Callable
from typing import Any


def found_by_two(target: Callable[..., None], folder: str, *args: Any, limit: float) -> list[Any]:
    """What `target(rank, folder, sender, *args)` sends from two processes; an error if one is silent for too long."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    children = [
        context.Process(target=target, args=(rank, folder, pipes[rank][1], *args), daemon=True) for rank in range(2)
    ]
    for child in children:
        child.start()
    try:
        assert all(receiver.poll(limit) for receiver, _ in pipes), "a process hangs or died"
        return [receiver.recv() for receiver, _ in pipes]
    finally:
        for child in children:
            child.join(5)
            child.kill()
