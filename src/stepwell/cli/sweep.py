"""stepwell sweep."""

from typing import Annotated

import typer

from stepwell.cli import lab
from stepwell.cli.common import Json, fail


def sweep(
    task: lab.TaskName,
    optimizers: lab.Only = "",
    every: Annotated[bool, typer.Option("--all", help="Every algorithm there is.")] = False,
    rates: Annotated[int, typer.Option(min=1, help="Learning rates of the grid around each rule's default.")] = 12,
    seeds: lab.Seeds = 3,
    epochs: lab.Epochs = None,
    halving: Annotated[int, typer.Option(min=0, help="Factor of successive halving; 0: every run is whole.")] = 0,
    trials: Annotated[int, typer.Option(min=0, help="Choices of a sampler for each optimizer, not a grid.")] = 0,
    sampler: Annotated[str, typer.Option(help="tpe or qmc, where there are --trials.")] = "tpe",
    storage: Annotated[str, typer.Option(help="Optuna storage: a URL, or a .log file (study.db in the folder).")] = "",
    study: Annotated[str, typer.Option(help="Name of the study (the task's, and the time).")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study, the last one if none is named.")
    ] = False,
    join: Annotated[
        bool, typer.Option("--join", help="Share the study with other processes, here or on other machines.")
    ] = False,
    data: lab.DataPlace = None,
    out: lab.Out = None,
    workers: lab.Workers = 0,
    ray: Annotated[
        str, typer.Option(metavar="[ADDRESS]", help="Train on a cluster of Ray; without an address, on this machine.")
    ] = "",
    quiet: lab.Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a task with some optimizers, each at a grid of learning rates, with some seeds, and say which is best.

    Prints ranking, answer and the lines to paste; writes results.json, runs.csv, report.html and pictures into a
    folder, and every run as a trial into an Optuna study. Ctrl-C keeps what is done; --resume goes on.
    Processes that --join one study, in one --storage, do each its share, and all have the results of all.
    """
    from stepwell.lab.store.storages import beside
    from stepwell.lab.sweeps.results import Results
    from stepwell.lab.sweeps.search import Search
    from stepwell.lab.sweeps.sweep import USUAL
    from stepwell.lab.training.crew import WorkerError

    chosen = lab.task_of(task, data)
    names = None if every else lab.split(optimizers) or USUAL
    try:
        options = {"halving": halving, "trials": trials, "sampler": sampler, "ray": ray or None}
        search = Search(chosen, names, rates, seeds, epochs, workers or None, **options)
    except (ValueError, TypeError, WorkerError) as error:
        fail(error)
    folder = lab.folder_of(out, chosen.name)
    lab.keep(search, storage or beside(folder), chosen.name, resume, study, join)
    results = Results.of(search)
    code = lab.watched(search, results, folder, quiet)
    raise typer.Exit(code if lab.show(results, folder, quiet, as_json) else code or 1)
