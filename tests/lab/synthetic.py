"""Results that were never trained: runs with losses given, for what is computed and drawn from them."""

from typing import Any

from stepwell.lab.sweeps.results import Results
from stepwell.lab.trial import DIVERGED, DONE, Run, Trial


def run(
    optimizer: str,
    lr: float,
    seed: int,
    loss: float | None,
    metric: float | None = None,
    goal: int | None = None,
    steps: int = 10,
    hyper: tuple[tuple[str, float], ...] = (),
) -> Run:
    """A run measured at its beginning, in its middle and at its end."""
    losses: list[float | None] = [2.0, 1.0, loss]
    metrics: list[float | None] = [] if metric is None else [0.1, 0.5, metric]
    best = 1.0 if loss is None else min(1.0, loss)
    return Run(
        optimizer, lr, seed, steps, hyper, DIVERGED if loss is None else DONE, steps, goal, loss, metric, best, 0.25,
        {"step": [0, steps // 2, steps], "loss": losses, "metric": metrics},
    )  # fmt: skip


def of(trial: Trial, loss: float | None) -> Run:
    """The run of a trial that came to a loss."""
    return run(trial.optimizer, trial.lr, trial.seed, loss, steps=trial.steps, hyper=trial.hyper)


def results(runs: list[Run], **task: Any) -> Results:
    """Complete results of these runs."""
    goal = {"metric": "loss", "value": 0.5, "words": "half"}
    facts = {"name": "made-up", "about": "nothing on nothing", "measured": "validation loss [nats]", "lowest": 0.0,
             "metric_name": "accuracy", "batch": 4, "schedule": None, "clip_norm": None, "goal": goal}  # fmt: skip
    way = {"stacked": False, "size": 1, "workers": 1, "threads": 1, "reason": "one run after the other"}
    settings = {"optimizers": list(dict.fromkeys(r.optimizer for r in runs)), "rates": 2,
                "seeds": sorted({r.seed for r in runs}), "steps": max((r.steps for r in runs), default=10),
                "halving": 0, "trials": 0, "sampler": None, "way": way}  # fmt: skip
    environment = {"python": "3", "numpy": "2", "torch": "2", "machine": "none", "processors": 1}
    return Results(facts | task, settings, environment, "2024-01-01T00:00:00+00:00", complete=True, runs=list(runs))


def numbers(run: Run) -> dict[str, Any]:
    """All of a run that is not a time."""
    return {name: value for name, value in vars(run).items() if name != "seconds"}
