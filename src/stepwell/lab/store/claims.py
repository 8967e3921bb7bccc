"""Which process of a sweep trains what, where several share a study: whoever claimed a trial first has it.

Claims are trials of a study of their own, and their order is that of its numbers, which the storage gives one after the
other. So two processes that claim a trial at the same time agree on who was first, without a lock. A process raises a
count in that study every few seconds, its beat. One whose count stands still is declared gone by whoever sees it first,
by its own clock; it is gone for all then, and its claims are void. So no clocks are compared.

A process that was only slow may find itself gone, and its trials trained by others. The runs' own study has each trial
once all the same: see `stepwell.lab.store.study.Store.add`.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.store.log import Entry, Log
from stepwell.lab.store.storages import StoreError, explained
from stepwell.lab.trial import Trial

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

LEASE = 30.0  # seconds without a beat after which a process is gone
BEATS = 6  # in that time
CLAIM = "stepwell_claim"  # the attribute of a trial that says who claims what
NAME = ".claims on {}"  # of the study, for that of the runs


class Claims:
    """One process's part in a study that several share; it ends with `close`, or with the process.

    Args:
        storage: of this object alone, since its beat is a thread's.
        url: the storage's, for messages. study: the name of the study that is shared.
        lease: seconds, `LEASE` unless said; each process keeps to the lease of the one that it waits for.

    Errors: `StoreError` if the storage fails.
    """

    def __init__(self, storage: "BaseStorage", url: str | None, study: str, lease: float | None = None):
        import optuna

        self.url, self.lease = url, LEASE if lease is None else lease
        self._storage = storage
        with explained(url):
            made = optuna.create_study(study_name=NAME.format(study), storage=storage, load_if_exists=True)
            self._id = storage.get_study_id_from_name(made.study_name)
        self._log = Log(storage, self._id, CLAIM)
        self._claims: list[tuple[str, list[Trial]]] = []
        self._gone: set[str] = set()
        self._seen: dict[str, tuple[int, float]] = {}  # of the others, the count and when it came
        self._count, self._ended = 0, threading.Event()
        self._join()
        threading.Thread(target=self._beat, daemon=True).start()

    def free(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those of some trials that no other process has. Errors: `StoreError` if the storage fails."""
        with explained(self.url):
            held = self._held()
        return [trial for trial in trials if held.get(trial, self.me) == self.me]

    def take(self, trials: Sequence[Trial]) -> list[Trial]:
        """Claim those of some trials that nobody has; those that are this process's then.

        Errors: `StoreError` if the storage fails.
        """
        with explained(self.url):
            held = self._held()
            if unheld := [trial for trial in trials if trial not in held]:
                self._claim(unheld)
                held = self._held()
        return [trial for trial in trials if held.get(trial) == self.me]

    def close(self) -> None:
        """Leave, so that others need not wait for what is not done; nothing is said of a storage that fails."""
        self._ended.set()
        with contextlib.suppress(StoreError), explained(self.url):
            self._storage.set_study_user_attr(self._id, f"gone {self.me}", True)

    def _join(self) -> None:
        self.me = uuid.uuid4().hex
        with explained(self.url):
            self._say()

    def _beat(self) -> None:
        while not self._ended.wait(self.lease / BEATS):
            with contextlib.suppress(Exception):  # a storage that fails is found by the next claim, or the next run
                self._say()

    def _say(self) -> None:
        self._count += 1
        self._storage.set_study_user_attr(self._id, f"here {self.me}", {"count": self._count, "lease": self.lease})

    def _claim(self, trials: Sequence[Trial]) -> None:
        from optuna.trial import TrialState, create_trial

        claim = {"by": self.me, "trials": [[t.optimizer, t.lr, t.seed, t.steps, t.hyper] for t in trials]}
        made = create_trial(state=TrialState.COMPLETE, value=float(len(trials)), user_attrs={CLAIM: claim})

        def wanted(entries: "list[Entry]") -> "list[FrozenTrial]":
            self._learn(entries)
            return [made]

        self._log.add(wanted)

    def _learn(self, entries: "Iterable[Entry]") -> None:
        for _, claim in entries:
            self._claims.append((claim["by"], [_trial(*given) for given in claim["trials"]]))

    def _held(self) -> dict[Trial, str]:
        """Who has which trial."""
        self._learn(self._log.later())
        self._look()
        held: dict[Trial, str] = {}
        for who, trials in self._claims:
            if who not in self._gone:
                for trial in trials:
                    held.setdefault(trial, who)
        return held

    def _look(self) -> None:
        """Find out who is gone; a process that is so itself comes back under another name."""
        now = time.monotonic()
        said = self._storage.get_study_user_attrs(self._id)
        for name, value in said.items():
            kind, _, who = name.partition(" ")
            if kind == "gone":
                self._gone.add(who)
            elif kind == "here" and who != self.me and f"gone {who}" not in said:
                count, since = self._seen.get(who, (None, now))
                self._seen[who] = (value["count"], now if count != value["count"] else since)
                if now - self._seen[who][1] > value["lease"]:
                    self._storage.set_study_user_attr(self._id, f"gone {who}", True)
                    self._gone.add(who)
        if self.me in self._gone:
            self._join()


def _trial(optimizer: str, lr: float, seed: int, steps: int, hyper: list[list[Any]]) -> Trial:
    return Trial(optimizer, lr, seed, steps, tuple((name, value) for name, value in hyper))
