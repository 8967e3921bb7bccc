"""Many trials at once into Optuna's database: one transaction, and a few statements where Optuna has thousands."""

import datetime
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection, Engine

SCHEMA = "v3.2.0.a"  # the revision of Optuna's schema that these statements are for
FINISHED = ("COMPLETE", "PRUNED", "FAIL")
TABLES = ("studies", "trials", "trial_params", "trial_values", "trial_user_attributes")


class Rows:
    """Optuna's tables in a database.

    Optuna adds each trial with queries for every parameter and a commit. Here a group is a statement for each trial,
    a few for all that they have, and one commit: all its trials are kept, or none.
    """

    def __init__(self, engine: "Engine"):
        from sqlalchemy import MetaData

        self.engine = engine
        found = MetaData()
        found.reflect(engine, only=TABLES)
        self.studies, self.trials, self.params, self.values, self.attributes = (found.tables[name] for name in TABLES)

    @classmethod
    def of(cls, storage: "BaseStorage") -> "Rows | None":
        """The tables of a storage; None if it has none, or their schema is not the one that is known here."""
        from optuna.storages import RDBStorage

        if not isinstance(storage, RDBStorage) or storage.get_current_version() != SCHEMA:
            return None
        return cls(storage.engine)

    def insert(self, study: int, wanted: "Callable[[Connection], Sequence[FrozenTrial]]") -> int:
        """Add finished trials to the study of that id; what is read of them is as if Optuna had added them.

        Args:
            wanted: gives the trials, when no other process can add any; its connection is for reading.

        Returns the number of the first of them. Errors: those of SQLAlchemy; then nothing is added.
        """
        with self.engine.connect() as connection, connection.begin():
            first = self._locked(connection, study)
            trials = wanted(connection)
            ids = [
                connection.execute(self.trials.insert().values(**_trial(study, number, trial))).inserted_primary_key
                for number, trial in enumerate(trials, first)
            ]
            keyed = [(key[0], trial) for key, trial in zip(ids, trials, strict=True) if key]
            for table, rows in (
                (self.params, [row for key, trial in keyed for row in _params(key, trial)]),
                (self.values, [row for key, trial in keyed for row in _values(key, trial)]),
                (self.attributes, [row for key, trial in keyed for row in _attributes(key, trial)]),
            ):
                if rows:
                    connection.execute(table.insert(), rows)
        return first

    def later(
        self, study: int, key: str, known: int, connection: "Connection | None" = None
    ) -> tuple[list[tuple[int, Any]], int]:
        """The numbers of the finished trials from that one on, with their attribute of that name; and the next number.

        Errors: those of SQLAlchemy.
        """
        from sqlalchemy import and_, select

        if connection is None:
            with self.engine.connect() as own:
                return self.later(study, key, known, own)
        trials, attributes = self.trials.c, self.attributes.c
        both = self.trials.outerjoin(
            self.attributes, and_(attributes.trial_id == trials.trial_id, attributes.key == key)
        )
        asked = select(trials.number, trials.state, attributes.value_json).select_from(both)
        asked = asked.where(and_(trials.study_id == study, trials.number >= known)).order_by(trials.number)
        rows = connection.execute(asked).all()
        found = [(number, json.loads(text)) for number, state, text in rows if text and state in FINISHED]
        return found, rows[-1].number + 1 if rows else known

    def _locked(self, connection: "Connection", study: int) -> int:
        """How many trials the study has, which no other process can add to until this transaction ends."""
        from sqlalchemy import func, select

        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        studies, trials = self.studies.c, self.trials.c
        connection.execute(select(studies.study_id).where(studies.study_id == study).with_for_update()).one()
        count = select(func.count()).select_from(self.trials).where(trials.study_id == study)
        return connection.execute(count).scalar_one()


def _trial(study: int, number: int, trial: "FrozenTrial") -> dict[str, Any]:
    times = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
    utc = {name: time and time.astimezone(datetime.UTC).replace(tzinfo=None) for name, time in times.items()}
    return {"study_id": study, "number": number, "state": trial.state.name, **utc}


def _params(key: int, trial: "FrozenTrial") -> list[dict[str, Any]]:
    from optuna.distributions import distribution_to_json

    return [
        {
            "trial_id": key,
            "param_name": name,
            "param_value": kind.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(kind),
        }
        for name, kind in trial.distributions.items()
    ]


def _values(key: int, trial: "FrozenTrial") -> list[dict[str, Any]]:
    row = {"trial_id": key, "objective": 0, "value": trial.value, "value_type": "FINITE"}
    return [] if trial.value is None else [row]


def _attributes(key: int, trial: "FrozenTrial") -> list[dict[str, Any]]:
    return [
        {"trial_id": key, "key": name, "value_json": json.dumps(value, separators=(",", ":"))}
        for name, value in trial.user_attrs.items()
    ]
