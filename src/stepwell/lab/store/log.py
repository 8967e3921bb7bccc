"""A study as a list that only grows, in an order that every process sees alike: the numbers of its trials."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.store.rows import Rows

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Entry = tuple[int, Any]
"""The number of a finished trial, and what its attribute has."""


class Log:
    """The attribute of that name of a study's finished trials.

    Attributes:
        read: how many of the study's trials have been looked at, from the first.
    """

    def __init__(self, storage: "BaseStorage", study: int, key: str):
        self._storage, self._study, self._key = storage, study, key
        self._rows = Rows.of(storage)
        self.read = 0

    def later(self) -> list[Entry]:
        """What has come since the last call, in order. Errors: those of the storage."""
        if self._rows:
            found, self.read = self._rows.later(self._study, self._key, self.read)
            return found
        trials = self._storage.get_all_trials(self._study, deepcopy=False)[self.read :]
        self.read += len(trials)
        return [
            (t.number, t.user_attrs[self._key]) for t in trials if self._key in t.user_attrs and t.state.is_finished()
        ]

    def add(self, wanted: "Callable[[list[Entry]], Sequence[FrozenTrial]]") -> None:
        """Add the finished trials that `wanted` makes of what has come since; in a database nothing comes in between.

        `later` has them next, too.

        Errors: those of the storage; then a database has none of the trials, and a journal may have the first.
        """
        if rows := self._rows:
            later = functools.partial(rows.later, self._study, self._key, self.read)
            self.read = rows.insert(self._study, lambda connection: wanted(later(connection)[0]))
            return
        for trial in wanted(self.later()):
            self._storage.create_new_trial(self._study, trial)
