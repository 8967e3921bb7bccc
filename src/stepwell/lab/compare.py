"""The comparison of all optimizers on a task, in one call."""

from collections.abc import Sequence

from stepwell.lab.results import Results
from stepwell.lab.search import Search
from stepwell.lab.tasks import Task


def compare(
    task: Task,
    optimizers: Sequence[str] | None = None,
    *,
    rates: int = 5,
    seeds: int = 3,
    epochs: int | None = None,
    workers: int = 1,
) -> Results:
    """Train every optimizer (or these) on a task, at `rates` learning rates around its default, with `seeds` seeds.

    More than one worker means processes; a script that asks for them must be guarded by `if __name__ == "__main__":`.
    To see the runs as they end, or to keep them after an interrupt, iterate over `Results.gather(Search(…))` instead.

    Errors: ValueError for an unknown optimizer, or a count below 1.
    """
    search = Search(task, optimizers, rates, seeds, epochs, workers)
    results = Results.of(search)
    for _ in results.gather(search):
        continue
    return results
