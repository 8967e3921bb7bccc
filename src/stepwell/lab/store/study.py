"""Where every run of a sweep is kept: an Optuna study, which Optuna's own tools open and with which a sweep resumes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stepwell import rules
from stepwell.lab.names import count
from stepwell.lab.store import records, storages
from stepwell.lab.store.claims import Claims
from stepwell.lab.store.log import Entry, Log
from stepwell.lab.store.storages import StoreError, explained
from stepwell.lab.trial import Run, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

__all__ = ["SettingsError", "Store", "StoreError"]

SETTINGS = "stepwell_settings"  # the attribute of a study that says what the sweep was asked for
KNOWN_LATER = ("task", "foreign")  # settings that the first studies have not
ANOTHER = "a study of another name, or another storage, starts anew"


class SettingsError(StoreError):
    """A study's runs are of a sweep that was asked for something else."""


class Store:
    """The runs of a sweep as trials of an Optuna study, from `Store.open`.

    A process may be killed at any moment: a database then has the groups that were added, and nothing of the one in
    flight; a journal may have the first runs of it. Several processes may add to one study.

    Attributes:
        shared: whether other processes train the same sweep: then each claims what it trains, see `claims`.
        study: the study, for Optuna's tools. A trial's value is the loss, which is minimized; a run that diverged is
            a pruned trial. See `stepwell.lab.store.records`.

    >>> from stepwell.lab.store.study import Store
    >>> from stepwell.lab.trial import Run
    >>> store = Store.open(None, "digits", {"optimizers": ["adam", "momentum"]})
    >>> curve = {"step": [50, 100], "loss": [0.5, 0.25], "metric": []}
    >>> run = Run("adam", 1e-3, 0, 100, (), "done", 100, None, 0.25, None, 0.25, 0.01, curve)
    >>> store.add([run]) == store.runs() == [run], store.study.best_value
    (True, 0.25)
    """

    def __init__(self, url: str | None, study: "optuna.Study", storage: "BaseStorage", settings: dict[str, Any]):
        self.url, self.study, self.settings = url, study, settings
        self._storage = storage  # without the cache of the study's own, which would keep what failed to be written
        self._id = storage.get_study_id_from_name(study.study_name)
        self._log = Log(storage, self._id, records.RUN)
        self._found: dict[Trial, Run] = {}
        self._said = 0  # of them, to whoever asks for later ones
        self._timeout, self.shared = 30.0, False

    @classmethod
    def open(
        cls,
        url: str | None,
        name: str,
        settings: dict[str, Any],
        *,
        resume: bool = False,
        join: bool = False,
        timeout: float = 30.0,
    ) -> "Store":
        """The study of that name, made if it is not there.

        Args:
            url: "sqlite:///runs/study.db", whose folder is made, or another database's; a path that ends in .log or
                .journal, for Optuna's journal; None for memory.
            name: of the study.
            settings: what the sweep was asked for, as JSON can have it. "optimizers", if there, are the names that
                the study tells Optuna it chooses from; by default all rules.
            resume: go on with a study that has runs; it must have been begun with equal settings.
            join: share the study with the other processes that do so; it may have runs or not, and its settings, as
                soon as it has any, must be equal ones.
            timeout: seconds to wait for another process that has locked the same file. A journal's lock that is still
                there then was left by a process that died, and is removed.

        Errors: `StoreError` if the place cannot be opened or is something else, if the study has runs and `resume` is
            False or its settings are others, or if it is not a sweep's. Then no study is changed.
        """
        try:
            given = json.loads(json.dumps(settings, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise StoreError(f"settings must be what JSON has words for; got {settings!r}: {error}") from None
        try:
            import optuna
        except ImportError:
            raise StoreError("keeping runs needs Optuna: pip install 'stepwell[lab]'") from None
        if join and url is None:
            raise StoreError("processes share a study in a storage that they all have: a URL or a path; got none")
        storage = storages.opened(url, timeout)
        with explained(url):
            try:
                study = optuna.load_study(study_name=name, storage=storage)
            except KeyError:  # there is none; by now another process may have made it
                study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
            store = cls(url, study, storage, given)
        store._timeout, store.shared = timeout, join
        store._begin(resume)
        return store

    def claims(self) -> Claims:
        """This process's part in a study that is shared, from now on. Errors: `StoreError` if the storage fails."""
        return Claims(storages.opened(self.url, self._timeout), self.url, self.study.study_name)

    @staticmethod
    def names(url: str, begin: str, task: str, timeout: float = 30.0) -> list[str]:
        """The studies at a place that are called so, or so and more after a space, the last that was made last.

        Those that say that they are of another task are left out.

        Errors: `StoreError` if the place cannot be opened or is something else.
        """
        storage = storages.opened(url, timeout)
        with explained(url):
            found = sorted(storage.get_all_studies(), key=lambda study: study._study_id)
        called = [study for study in found if f"{study.study_name} ".startswith(f"{begin} ")]
        return [study.study_name for study in called if _task_of(study.user_attrs.get(SETTINGS), task) == task]

    def runs(self) -> list[Run]:
        """All runs in the study, in the order in which they were added; of each trial the first.

        Errors: `StoreError` if they cannot be read.
        """
        with explained(self.url):
            self._storage.get_study_user_attrs(self._id)  # which fails if the study is gone
            self._learn(self._log.later())
        self._said = len(self._found)
        return list(self._found.values())

    def later(self) -> list[Run]:
        """The runs that have come since this, `runs` or `add` was last called, those of other processes too.

        Errors: `StoreError` if they cannot be read.
        """
        said = self._said
        return self.runs()[said:]

    def add(self, runs: Sequence[Run]) -> list[Run]:
        """Keep runs, but for those of a trial that the study has; what `later` would give then.

        Of a trial that another process has added in the meantime it has that process's run.

        Errors: `StoreError` if they cannot be written; they can be added again later.
        """
        new = _first(run for run in runs if run.trial not in self._found)
        optimizers = self.settings.get("optimizers") or list(rules.named)
        try:
            trials = {key: records.to_trial(run, optimizers) for key, run in new.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(f"{self}: a run has a number that cannot be kept: {error}") from error

        def absent(entries: "list[Entry]") -> "list[FrozenTrial]":
            self._learn(entries)
            return [trial for key, trial in trials.items() if key not in self._found]

        with explained(self.url):
            self._check_settings()
            self._log.add(absent)
        for key, run in new.items():
            self._found.setdefault(key, run)
        said, self._said = self._said, len(self._found)
        return list(self._found.values())[said:]

    def _learn(self, entries: "Iterable[Entry]") -> None:
        try:
            for number, data in entries:
                run = records.to_run(number, data)
                self._found.setdefault(run.trial, run)
        except ValueError as error:
            raise StoreError(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"study {self.study.study_name!r} in {storages.place(self.url)}"

    def _begin(self, resume: bool) -> None:
        """Claim a study that is empty; go on with another if it is allowed to."""
        from optuna.study import StudyDirection

        with explained(self.url):
            begun = SETTINGS in self.study.user_attrs
            ours = begun or not self._storage.get_n_trials(self._id)
            directions = self.study.directions
        if not ours or directions != [StudyDirection.MINIMIZE]:
            raise StoreError(f"{self} is not a sweep's; {ANOTHER}")
        if not (runs := self.runs()) and not (begun and self.shared):
            with explained(self.url):
                self.study.set_user_attr(SETTINGS, self.settings)
        elif not resume and not self.shared:
            raise StoreError(f"{self} has {count(len(runs), 'run')}: resume goes on with it; {ANOTHER}")
        else:
            self._check_settings()

    def _check_settings(self) -> None:
        """SettingsError if the study's settings are not, or no longer, those of this sweep."""
        with explained(self.url):
            stored = self.study.user_attrs.get(SETTINGS)
        unknown = [key for key in KNOWN_LATER if key in self.settings and key not in (stored or {})]
        if unknown and stored == {key: value for key, value in self.settings.items() if key not in unknown}:
            why = "which did not keep what the task was: whether its runs are of this one cannot be told"
            raise SettingsError(f"{self} is of an earlier Stepwell, {why}; {ANOTHER}")
        if stored != self.settings:
            where, theirs, ours = _difference(stored, self.settings)
            raise SettingsError(
                f"{self} was begun with other settings: {where} is {theirs} there, {ours} here; {ANOTHER}"
            )


def _task_of(settings: Any, unsaid: str) -> str:
    """The name of the task that a study's settings are of."""
    task = settings.get("task") if isinstance(settings, dict) else None
    return task.get("name", unsaid) if isinstance(task, dict) else unsaid


def _first(runs: Iterable[Run]) -> dict[Trial, Run]:
    found: dict[Trial, Run] = {}
    for run in runs:
        found.setdefault(run.trial, run)
    return found


def _difference(stored: Any, given: Any) -> tuple[str, str, str]:
    """The first setting, in the order of `given`, whose values differ, and the two.

    >>> _difference({"seeds": 3, "task": {"batch": 64}}, {"seeds": 3, "task": {"batch": 32}})
    ('task.batch', '64', '32')
    """
    theirs, ours = dict(_leaves(stored)), dict(_leaves(given))
    missing = object()
    path = next(path for path in [*ours, *theirs] if ours.get(path, missing) != theirs.get(path, missing))
    shown = [json.dumps(each[path], ensure_ascii=False) if path in each else "missing" for each in (theirs, ours)]
    return ".".join(map(str, path)), shown[0], shown[1]


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """What nested settings come down to, by the keys and indices that lead there."""
    nested = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not nested or not value:
        yield path, value
        return
    for key, each in nested:
        yield from _leaves(each, (*path, key))
