"""Results that were never trained: runs with losses given, for what is computed and drawn from them."""

from typing import Any

from stepwell.lab.results import Results
from stepwell.lab.train import DIVERGED, DONE, Run


def run(
    optimizer: str, lr: float, seed: int, loss: float | None, accuracy: float | None = None, goal: int | None = None
) -> Run:
    """A run of ten steps, measured at 0, 5 and 10."""
    losses: list[float | None] = [2.0, 1.0, loss]
    accuracies: list[float | None] = [] if accuracy is None else [0.1, 0.5, accuracy]
    return Run(
        optimizer, lr, seed, DIVERGED if loss is None else DONE, 10, goal, loss, accuracy, 12.5, 0.25,
        {"step": [0, 5, 10], "loss": losses, "accuracy": accuracies, "seconds": [0.0, 0.1, 0.2]},
    )  # fmt: skip


def results(runs: list[Run], **task: Any) -> Results:
    """Complete results of these runs."""
    goal = {"metric": "loss", "value": 0.5, "words": "half"}
    facts = {"name": "made-up", "about": "nothing on nothing", "measured": "validation loss [nats]", "lowest": 0.0,
             "batch": 4, "every": 5, "goal": goal} | task  # fmt: skip
    settings = {"optimizers": list(dict.fromkeys(r.optimizer for r in runs)), "rates": 2,
                "seeds": sorted({r.seed for r in runs}), "epochs": 1, "steps": 10, "workers": 1}  # fmt: skip
    environment = {"python": "3", "numpy": "2", "torch": "2", "machine": "none", "processors": 1}
    return Results(facts, settings, environment, "2024-01-01T00:00:00+00:00", complete=True, runs=list(runs))
