"""Will this be clicked? A click log made on the fly, and a table of ten million rows.

Each impression has eight features: the country, the device, …, the user. Identity k of a feature with N of them comes
with a probability ∝ ln((k + 2)/(k + 1)), nearly 1/(k + 1): Zipf's law. As in practice (Weinberger et al. 2009,
<https://arxiv.org/abs/0902.2206>) the identity is hashed into one table for all features, where some meet. Each has a
planted weight, from a second hash; a click has the probability σ(bias + Σ weights), so the best loss is known too.

The model: the sum of eight rows of the table, then a small dense net. A batch touches some thousand rows of the ten
million. A dense optimizer passes over all of them at each step, so the dense way is given fewer steps (--dense-steps)
and the weights are compared where it ended. Row-wise Adagrad, with one number of state a row, comes as a fourth way.

    python examples/click_model.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from _shown import picture, table
from _ways import Task, Way, compare, optimizers, three
from stepwell.cli.common import one_of
from stepwell.torch import AdagradRowwise

FEATURES = {
    "country": 200, "device": 3_000, "advertiser": 30_000, "site": 200_000, "ad": 1_000_000, "page": 3_000_000,
    "query": 10_000_000, "user": 30_000_000,
}  # fmt: skip
BIAS, SCALE = -1.0, 0.6  # of the log odds: without features, and the deviation of a planted weight
HIDDEN = 32
HELD, UNSEEN = 50_000, 2**32  # held-out impressions, and their seed, which no training has
START = 0.01  # rows begin within this of 0

Batch = tuple[Tensor, Tensor]  # rows of the table: (impressions, features); clicks: (impressions,)


def impressions(generator: np.random.Generator, count: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the table, and the probability of a click: (count, features) and (count,)"""
    sizes = np.array(list(FEATURES.values()))
    identity = (sizes + 1.0) ** generator.random((count, len(sizes))) - 1
    key = identity.astype(np.uint64) + (np.arange(len(sizes), dtype=np.uint64) << np.uint64(40))
    hashed = _hash(key)
    uniform = _hash(hashed).astype(np.float64) / 2.0**64
    weights = SCALE * np.sqrt(12) * (uniform - 0.5)
    return (hashed % np.uint64(rows)).astype(np.int64), 1 / (1 + np.exp(-BIAS - weights.sum(axis=1)))


def _hash(x: np.ndarray) -> np.ndarray:
    """splitmix64 (Steele, Lea & Flood 2014): 64 bits to 64 bits, one to one, well mixed."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def clicks(generator: np.random.Generator, count: int, rows: int) -> Batch:
    """Impressions, and which of them are clicked."""
    at, probability = impressions(generator, count, rows)
    return torch.from_numpy(at), torch.from_numpy(generator.random(count) < probability).to(torch.get_default_dtype())


class Model(nn.Module):
    """The sum of rows of a table, then a net with one hidden layer."""

    def __init__(self, rows: int, width: int, sparse: bool):
        super().__init__()
        start = torch.empty(rows, width).uniform_(-START, START)
        self.table = nn.EmbeddingBag.from_pretrained(start, freeze=False, mode="sum", sparse=sparse)
        self.net = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, at: Tensor) -> Tensor:
        """Log odds of a click: (impressions,)"""
        return self.net(self.table(at))[:, 0]


def loss(model: Model, batch: Batch) -> Tensor:
    """Cross-entropy [nats]."""
    return binary_cross_entropy_with_logits(model(batch[0]), batch[1])


def task(rows: int, width: int, batch: int) -> Task:
    """Learn a log that never ends, `batch` impressions a step."""
    at, probability = impressions(np.random.default_rng(UNSEEN), HELD, rows)
    held, truth = torch.from_numpy(at), torch.from_numpy(probability).to(torch.get_default_dtype())
    best = float(-(probability * np.log(probability) + (1 - probability) * np.log1p(-probability)).mean())

    def batches(seed: int) -> Iterator[Batch]:
        generator = np.random.default_rng(seed)
        while True:
            yield clicks(generator, batch, rows)

    return Task(
        title=f"Will this be clicked? {len(FEATURES)} features in a table of {rows:,} rows of {width}",
        build=lambda sparse: Model(rows, width, sparse),
        batches=batches,
        loss=loss,
        held=lambda model: binary_cross_entropy_with_logits(model(held), truth).item(),
        level=(best, "the best there is"),
    )


def main(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 10_000_000,
    width: Annotated[int, typer.Option(min=1, help="Numbers a row.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sparse ways.")] = 1000,
    dense_steps: Annotated[int, typer.Option(min=1, help="Steps of the dense way; --steps if that is fewer.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Impressions a step.")] = 1024,
    optimizer: Annotated[str, typer.Option(help="Any of stepwell.torch: adam, adagrad, ….")] = "adam",
    lr: Annotated[float, typer.Option(min=0.0, help="Learning rate.")] = 0.01,
    rowwise_lr: Annotated[float, typer.Option(min=0.0, help="Learning rate of row-wise Adagrad.")] = 0.03,
    seed: Annotated[int, typer.Option(min=0, max=UNSEEN - 1, help="Of weights and clicks.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Processors; those of a shared machine wait for each other.")] = 1,
    double: Annotated[
        bool, typer.Option("--double", help="In double precision: less rounding to tell ways apart.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("stepwell-results/click_model.png"),
) -> None:
    """Learn a click log with dense gradients, lazy sparse ones and exact sparse ones; compare cost and result."""
    rule = one_of("optimizer", optimizer, optimizers())
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    learning, small = task(rows, width, batch), task(1000, width, batch)
    ways = three(rule, lr, steps, min(dense_steps, steps))
    by_rows = Way(
        "sparse, row-wise Adagrad", True, lambda params: AdagradRowwise(params, lr=rowwise_lr), steps, alike=False
    )
    runs = compare(learning, small, [*ways, by_rows], seed)
    print(f"{learning.title}; {rule.__name__}, lr {lr:g}, {batch} impressions a step, threads: {threads}\n")
    print(table(learning, runs))
    if ways[0].steps < steps:
        print(f"The dense way was given {ways[0].steps} steps of {steps}: its steps take that long.")
    picture(learning, runs, out)


if __name__ == "__main__":
    typer.run(main)
