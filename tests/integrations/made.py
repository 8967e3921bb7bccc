"""Results for the writers: of a sweep with all that runs can differ in, and of a comparison on two tasks."""

from stepwell.lab.comparisons.comparison import Comparison
from stepwell.lab.sweeps.results import Results
from stepwell.lab.sweeps.sweep import sweep as search
from tests.lab import small
from tests.lab.contests import contest
from tests.lab.synthetic import results, run


def sweep() -> Results:
    """Two optimizers, three seeds, other hyperparameters, a shorter run, one that diverged, rates that look alike."""
    runs = [run("adam", lr, seed, 0.25 + lr + seed / 7, 0.9 - lr) for lr in (0.01, 0.1) for seed in range(3)]
    runs += [run("adam", 0.01 + 1e-9, 0, 0.3, 0.8), run("adam", 0.01, 0, 0.5, 0.7, steps=4)]
    runs += [run("momentum", 0.1, seed, 0.4, 0.6, hyper=(("beta1", 0.9), ("eps", 1e-8))) for seed in range(3)]
    runs += [run("momentum", 1.0, seed, None) for seed in range(3)]
    return results(runs, name="made up/once")


def trained() -> Results:
    """A sweep that was made, in moments."""
    return search(small.task(), ["adam", "momentum"], rates=2, seeds=2, workers=1)


def comparison() -> Comparison:
    """Two tasks of one name; each has a tuning, a confirmation and an A/A round."""
    tuning = {"adam": {0.1: 0.5, 1.0: 0.9}, "momentum": {0.1: 0.8, 1.0: None}}
    fresh = {"adam": [0.5, 0.52, 0.48], "momentum": [0.8, 0.79, 0.83]}
    return Comparison([contest(tuning, fresh, [0.5, 0.51, 0.49]), contest(tuning, fresh)])
