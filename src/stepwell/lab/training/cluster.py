"""Groups as tasks of Ray, on this machine or on a cluster: the same groups, trained by the same function.

What Ray says of itself is not printed; a group whose worker dies is given to another by `Crew`, and not by Ray.
"""

import hashlib
import importlib.util
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stepwell.kernels import pool
from stepwell.lab.batches import TaskError
from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
from stepwell.lab.training.crew import Crew, Group, Lost, WorkerError
from stepwell.lab.training.group import train_group
from stepwell.lab.training.workers import packed, portable
from stepwell.lab.trial import Run

LOCAL = "local"
KNOCK, ANSWER = 5.0, 60.0  # seconds until a port must be open, and until what is behind it must be a cluster
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": ".*", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
PROBE = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print('answers', flush=True)"

_given: dict[str, Any] = {}


class Cluster(Crew):
    """Tasks of Ray, one for each processor that it has, or as many as are wanted.

    Args:
        address: of a cluster, as `ray.init` takes it; "local": Ray is started on this machine, and ended by `close`.
            A program that has called `ray.init` itself keeps its own.
        most: groups at a time, at most; None: one for each processor.

    Errors: `WorkerError` if Ray is not installed.
    """

    def __init__(self, task: Task, candidates: Mapping[str, Candidate], address: str, most: int | None):
        if importlib.util.find_spec("ray") is None:
            raise WorkerError("this needs Ray, which is not here: pip install 'stepwell[ray]'")
        self.task, self.candidates, self.address, self.most = task, candidates, address, most
        self.count = most or pool.cores()
        self._content: Any = None
        self._digest = ""
        self._ours = False
        self._at_work: set[Any] = set()

    def open(self) -> None:
        """Connect, and make the task known.

        Errors: `WorkerError` if nobody answers at the address; `TaskError` if the task cannot be sent.
        """
        if reason := portable(self.task, self.candidates):
            raise TaskError(f"the task cannot be trained by Ray: {reason}")
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import ray  # pyright: ignore[reportMissingImports]

        if not ray.is_initialized():
            self._connect(ray)
            self._ours = True
        there = int(ray.cluster_resources().get("CPU", 0))
        if not there:
            raise WorkerError(f"the cluster of Ray at {self.address} has no processor")
        self.count = min(there, self.most or there)
        content = packed(self.task, self.candidates)
        self._content, self._digest = ray.put(content), hashlib.sha256(content).hexdigest()
        self._work = ray.remote(work).options(num_cpus=1, max_retries=0)

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address == LOCAL:
            options |= {"num_cpus": self.count, "include_dashboard": False}
        elif self.address != "auto":
            reachable(self.address)
        try:
            ray.init(self.address, **options)
        except Exception as error:
            raise WorkerError(f"no cluster of Ray answers at {self.address!r}: {error}") from error

    def submit(self, group: Group, stacked: bool) -> Any:
        job = self._work.remote([self._content], self._digest, list(group), stacked)
        self._at_work.add(job)
        return job

    def wait(self, jobs: Sequence[Any], seconds: float | None) -> Iterable[Any]:
        import ray  # pyright: ignore[reportMissingImports]

        return ray.wait(list(jobs), num_returns=1, timeout=seconds)[0]

    def result(self, job: Any) -> list[Run]:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError, RayTaskError  # pyright: ignore[reportMissingImports]

        self._at_work.discard(job)
        try:
            found = ray.get(job)
        except RayTaskError as error:  # `work` itself raises nothing: it cannot be had there
            last = (str(error).strip().splitlines() or ["no reason given"])[-1]
            raise TaskError(f"Ray's workers cannot train it: {last}") from error
        except RayError as error:
            raise Lost(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        if self._ours:
            import ray  # pyright: ignore[reportMissingImports]

            ray.shutdown()  # which ends what is at work; cancelled by force, a task that is just done ends this process
        elif self._at_work:
            import ray  # pyright: ignore[reportMissingImports]

            for job in self._at_work:
                ray.cancel(job)
        self._at_work, self._content, self._ours = set(), None, False


def work(content: Sequence[Any], digest: str, group: Group, stacked: bool) -> "list[Run] | Exception":
    """Train a group of a task, in a process that may have it from a group before; or what went wrong."""
    import ray  # pyright: ignore[reportMissingImports]
    import torch

    torch.set_num_threads(1)
    try:
        if digest not in _given:
            _given.clear()
            _given[digest] = pickle.loads(ray.get(content[0]))
        task, candidates = _given[digest]
        return train_group(task, candidates, group, stacked)
    except TaskError as error:
        return TaskError(str(error))  # without its cause, which may be nothing that can be sent
    except Exception as error:
        return TaskError(f"{type(error).__name__}: {error}")


def reachable(address: str) -> None:
    """Look whether a cluster answers at an address: Ray itself tries for ever, or ends the process.

    Errors: `WorkerError` if none does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK).close()
    except (OSError, ValueError, OverflowError) as error:
        why = error if host and port.isdigit() else "it must be HOST:PORT, or auto"
        raise WorkerError(f"no cluster of Ray answers at {address!r}: {why}") from error
    command = [sys.executable, "-c", PROBE, address]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, env={**os.environ, **QUIET})
    except subprocess.TimeoutExpired as error:
        raise WorkerError(
            f"what answers at {address!r} is no cluster of Ray: it says nothing for {ANSWER:g} s"
        ) from error
    if "answers" not in probe.stdout:
        last = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise WorkerError(f"what answers at {address!r} is no cluster of Ray that this version can use: {last}")
