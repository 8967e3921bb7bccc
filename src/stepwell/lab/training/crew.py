"""Who trains groups elsewhere: processes of this machine, or of a cluster. What ends with its worker is done again."""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stepwell.lab.batches import TaskError
from stepwell.lab.training.group import called
from stepwell.lab.trial import Run, Trial

DEATHS = 3  # of workers at one group, after which it is not tried again
PAUSE = 0.5  # seconds until it is asked again whether there is a group to train
Group = Sequence[Trial]


class WorkerError(RuntimeError):
    """Workers ended before their work did: they were killed, or there was too little memory."""


class Lost(Exception):
    """A worker ended while it trained a group; its text says how."""


class Crew(ABC):
    """Workers, each of which trains a group at a time.

    Attributes:
        count: how many they are.
    """

    count: int

    @abstractmethod
    def submit(self, group: Group, stacked: bool) -> Any:
        """Have a group trained by a worker that has none; the job."""

    @abstractmethod
    def wait(self, jobs: Sequence[Any], seconds: float | None) -> Iterable[Any]:
        """Those of the jobs that have ended, as soon as there is one; in so many seconds, there may be none."""

    @abstractmethod
    def result(self, job: Any) -> list[Run]:
        """The runs of a job that has ended. Errors: `Lost` if its worker did; what the training raised."""

    @abstractmethod
    def close(self) -> None:
        """End the workers, with whatever they are at."""

    def train(self, groups: Iterable[Group | None], stacked: bool) -> Iterator[list[Run]]:
        """The runs of each group, as they end.

        A group is asked for when there is a worker for it. None says that there may be one later; then what is yielded
        may be empty.

        Errors: `WorkerError` naming the group at which workers died `DEATHS` times; `TaskError` naming the group that
        cannot be trained.
        """
        source, again, more = iter(groups), deque[Group](), True
        jobs: dict[Any, Group] = {}
        deaths: dict[Group, int] = {}
        while more or again or jobs:
            idle = False
            while (more or again) and not idle and len(jobs) < self.count:
                group = again.popleft() if again else next(source, ())
                more, idle = more and group != (), group is None
                if group:
                    jobs[self.submit(group, stacked)] = group
            failed: Exception | None = None
            for job in list(self.wait(list(jobs), PAUSE if idle else None)) if jobs else ():
                group = tuple(jobs.pop(job))
                try:
                    yield self.result(job)
                except Lost as error:
                    deaths[group] = deaths.get(group, 0) + 1
                    if deaths[group] < DEATHS:
                        again.append(group)
                    else:
                        times = f"{DEATHS} times a worker died that trained it"
                        failed = WorkerError(f"{called(group)}: {times}: {error}")
                except TaskError as error:
                    failed = TaskError(f"{called(group)}: {error}")
                    failed.__cause__ = error
            if failed:  # what has ended well was handed on before
                raise failed
            if idle and not jobs:
                time.sleep(PAUSE)
            if idle:
                yield []
