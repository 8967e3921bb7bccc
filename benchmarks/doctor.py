"""What a doctor costs: a plain torch training with one beside it, every 20 steps a sample, against the same without.

The loop is the one that everybody writes, with torch.optim.Adam; the sharpness is among what is measured.
"""

from collections.abc import Callable

import torch

from _measure import Row, medians, milliseconds
from stepwell.lab import doctor, tasks
from stepwell.lab.batches import apart

EVERY = 20
MOST = 0.1  # of the training's own time
STEPS = 200  # of one measured piece
TASKS = ("digits", "digits_cnn", "transformer")


def main(quick: bool = False) -> list[Row]:
    """The speed of the watched training in units of the other's."""
    torch.set_num_threads(1)
    return [_row(name, 3 if quick else 15) for name in TASKS]


def _row(name: str, rounds: int) -> Row:
    sides = {"alone": _training(name, watched=False), "watched": _training(name, watched=True)}
    seconds = medians(sides, rounds)
    step = seconds["alone"] / STEPS
    return Row(
        name=f"a doctor at every {EVERY}th step, {name}", ratio=seconds["alone"] / seconds["watched"],
        peer="torch.optim.Adam alone", limit=None, floor=1 / (1 + MOST),
        detail=f"steps of {milliseconds(step)}, {100 * (seconds['watched'] / seconds['alone'] - 1):+.1f} %",
    )  # fmt: skip


def _training(name: str, watched: bool) -> Callable[[], None]:
    """Some steps of a training that goes on; the doctor comes and goes, so that it hears nothing of the others."""
    task = tasks.named[name](None)
    model = task.fresh(0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batches = task.source.passes(0)
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = task.loss
    watch = doctor(optimizer, model, every=EVERY)

    def train() -> None:
        if watched:
            watch.start()
        for _ in range(STEPS):
            inputs, target = apart(next(batches))
            optimizer.zero_grad()
            loss(model(inputs), target).backward()
            optimizer.step()
        watch.stop()

    return train
