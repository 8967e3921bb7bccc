"""What the doctor measures, and whole sweeps and comparisons, as runs of MLflow.

with mlflow.start_run():
    writer = DoctorWriter()
    with doctor(optimizer, tell=writer) as watch:
        ...  # the training
    writer.finish(watch)

write_results("stepwell-results/digits")
"""
# pyright: reportMissingImports=false

import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from stepwell.integrations import needs as _needs

try:
    import mlflow as _mlflow
except ImportError as error:
    raise _needs("mlflow", "mlflow") from error

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from stepwell.integrations.runs import Named, Part, Source, parts
from stepwell.integrations.scalars import PREFIX, flat, markdown
from stepwell.lab.documents import dump, plain
from stepwell.lab.trial import DIVERGED

__all__ = ["DoctorWriter", "write_results"]

NOTE = "mlflow.note.content"  # the tag that MLflow's page shows as a run's description
BATCH, LONGEST, WORDY = 1000, 250, 5000  # metrics in a call; characters of a name and of a tag's value, at most
DATABASES = (".db", ".log")  # of a results folder: Optuna's storages, which go on changing


class DoctorWriter:
    """A writer for the doctor's `tell`: each sample's numbers become metrics at the sample's step.

    Args:
        run: the id of the run, or None for the one that is active.
        client: an MlflowClient of the server that has the run; None for that of the active tracking URI.

    Errors: ValueError if there is neither `run` nor an active run.
    """

    def __init__(self, run: str | None = None, client: MlflowClient | None = None):
        active = _mlflow.active_run()
        if run is None and active is None:
            raise ValueError("run must be the id of a run where none is active; got None")
        self.run: str = run if run is not None else active.info.run_id
        self.client: Any = client or MlflowClient()

    def __call__(self, sample: Any) -> None:
        """Write a sample."""
        _log(self.client, self.run, _metrics(flat(sample), sample.step, round(1000 * time.time())))

    def finish(self, watch: Any) -> None:
        """Keep the findings: a tag "doctor" with their names, one for each, and what the doctor says as artifacts.

        The artifacts are doctor/report.txt, in words, and doctor/report.json.
        """
        found = watch.findings
        self.client.set_tag(self.run, PREFIX, ", ".join(each.name for each in found) or "nothing found")
        for each in found:
            self.client.set_tag(self.run, _key(f"{PREFIX}.{each.name}"), markdown(each)[:WORDY])
        self.client.log_text(self.run, str(watch), f"{PREFIX}/report.txt")
        self.client.log_text(self.run, dump(plain(watch.document()), indent=1), f"{PREFIX}/report.json")


def write_results(source: Source, experiment: str = "stepwell", client: MlflowClient | None = None) -> list[str]:
    """Keep a sweep or a comparison in MLflow: a run for each task, and in it a run for each run; the tasks' run ids.

    A child has its settings as parameters, its curves as the metrics "loss" and "metric", at the times at which they
    would have been measured had it begun with the search, and what it came to as "final/loss", "final/best" and so on.
    The run of one that diverged is FAILED, has the tag "status", and its loss is NaN from there on. The parent has the
    answer as its description, and as artifacts the files of the results' folder: all but Optuna's databases. Of
    results that have no folder it has results.json and runs.csv. It is KILLED where the search was interrupted.

    Args:
        source: the results, or the file or folder that has them.
        experiment: the name of MLflow's experiment, which is made if need be.
        client: an MlflowClient; None for that of the active tracking URI.

    Errors: FileNotFoundError if there are no results; ValueError if the file holds something else.
    """
    found = parts(source)
    server: Any = client or MlflowClient()
    known = server.get_experiment_by_name(experiment)
    place = server.create_experiment(experiment) if known is None else known.experiment_id
    return [_parent(server, place, part, source) for part in found]


def _parent(client: MlflowClient, experiment: str, part: Part, source: Source) -> str:
    results = part.results
    began = datetime.fromisoformat(results.started).timestamp()
    tags = {NOTE: part.answer[:WORDY], "stepwell": results.stepwell, "complete": str(results.complete).lower()}
    run = _begin(client, experiment, part.name, began, tags)
    told = {"task": results.task["name"], **{name: results.settings[name] for name in ("optimizers", "seeds", "steps")}}
    _log(client, run, (), told)
    for named in part.runs:
        _child(client, experiment, run, named, began)
    _files(client, run, part, source)
    status = RunStatus.FINISHED if results.complete else RunStatus.KILLED
    _end(client, run, status, began + results.wall_seconds)
    return run


def _child(client: MlflowClient, experiment: str, parent: str, named: Named, began: float) -> None:
    tags = {MLFLOW_PARENT_RUN_ID: parent, "status": named.run.status}
    run = _begin(client, experiment, named.name, began, tags)
    curves = (_metrics(values, step, round(1000 * (began + after))) for step, after, values in named.points())
    ended = began + named.run.seconds
    final = _metrics({f"final/{name}": x for name, x in named.final.items()}, named.run.taken, round(1000 * ended))
    settings = {name: value for name, value in named.settings.items() if name != "status"}
    _log(client, run, itertools.chain(*curves, final), settings)
    _end(client, run, RunStatus.FAILED if named.run.status == DIVERGED else RunStatus.FINISHED, ended)


def _files(client: MlflowClient, run: str, part: Part, source: Source) -> None:
    folder = Path(source) if isinstance(source, str | Path) else None
    if folder is None:
        client.log_text(run, part.results.json(), "results.json")
        client.log_text(run, part.results.csv(), "runs.csv")
    elif folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix not in DATABASES and not path.name.startswith("."):
                client.log_artifact(run, str(path))
    else:
        client.log_artifact(run, str(folder))


def _begin(client: MlflowClient, experiment: str, name: str, at: float, tags: Mapping[str, str]) -> str:
    return client.create_run(experiment, round(1000 * at), dict(tags), name).info.run_id


def _end(client: MlflowClient, run: str, status: int, at: float) -> None:
    client.set_terminated(run, RunStatus.to_string(status), round(1000 * at))


def _log(client: MlflowClient, run: str, metrics: Iterable[Metric], params: Mapping[str, Any] | None = None) -> None:
    """Write metrics and parameters, in as few calls as MLflow allows."""
    given = [Param(_key(name), str(value)) for name, value in (params or {}).items()]
    if given:
        client.log_batch(run, params=given)
    for batch in _batches(metrics):
        client.log_batch(run, metrics=batch)


def _batches(metrics: Iterable[Metric]) -> Iterator[list[Metric]]:
    rest = iter(metrics)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


def _metrics(values: Mapping[str, float], step: int, milliseconds: int) -> list[Metric]:
    return [Metric(_key(name), value, milliseconds, step) for name, value in values.items()]


def _key(name: str) -> str:
    """A name in MLflow's alphabet, and no longer than it takes."""
    return re.sub(r"[^\w.\- /]", "_", name)[-LONGEST:]
