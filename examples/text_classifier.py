"""Which word stands here? A fastText-like model of WikiText-2, whose two tables are all its parameters.

The four words on each side, and the pairs of neighbours among them, are rows of a table of the 30,000 most frequent
words and pairs of the text (it has 18,327 words; the pairs are fastText's, Joulin et al. 2016,
<https://arxiv.org/abs/1607.01759>). Rarer words are `<unk>`, rarer pairs are left out. The mean h of these rows meets
a second table, with a row u for each word w:

    p(w | context) ∝ q(w)·exp(u·h),     q(w): how frequent w is

A softmax over all words would give every row of the second table a gradient. So the model learns to tell the right word
from some others, drawn from q for each batch: sampled softmax (Jean et al. 2015, <https://arxiv.org/abs/1412.2007>),
whose correction for q cancels with the q above. Both gradients then name a few hundred rows, and the tables are what a
step costs. On held-out text, the last tenth, the softmax is over all words; u = 0 is a guess by frequency.

    python examples/text_classifier.py --data FOLDER
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from _shown import picture, table
from _ways import Task, compare, optimizers, three
from stepwell.cli.common import fail, one_of
from stepwell.lab import data

SIDE = 4  # words of context on each side
HELD, CHUNK = 2048, 256  # held-out positions, and how many are scored at a time
UNKNOWN = "<unk>"


@dataclass(frozen=True)
class Text:
    """A text as rows of the first table: at each position its word, and its pair with the next. Words have the first
    rows, pairs the others; `padding`, the row after the last, is no pair. The last tenth of the text is held out."""

    words: np.ndarray
    pairs: np.ndarray
    padding: int

    @property
    def count(self) -> np.ndarray:
        """How often each word is in the part that is learnt."""
        return np.bincount(self.words[: self.learnt], minlength=int(self.words.max()) + 1)

    @property
    def learnt(self) -> int:
        return len(self.words) * 9 // 10

    def context(self, positions: np.ndarray) -> Tensor:
        """The rows of the words and pairs around positions: (positions, 2·SIDE + 2·(SIDE - 1))"""
        near, pairs = np.r_[-SIDE:0, 1 : SIDE + 1], np.r_[-SIDE:-1, 1:SIDE]
        rows = [self.words[positions[:, None] + near], self.pairs[positions[:, None] + pairs]]
        return torch.from_numpy(np.concatenate(rows, axis=1))

    def answers(self, positions: np.ndarray) -> Tensor:
        """The words at these positions."""
        return torch.from_numpy(self.words[positions])


def read(given: Path | None, rows: int) -> Text:
    """WikiText-2's valid and test parts, with the most frequent words and pairs of the part that is learnt.

    Errors: `stepwell.lab.data.DataError` if the files are nowhere or have another checksum.
    """
    spelt = np.array(" ".join(data.read(source, given).decode() for source in data.WIKITEXT).split())
    learnt = len(spelt) * 9 // 10
    known, words = np.unique(spelt, return_inverse=True)
    both = words[:-1] * len(known) + words[1:]
    singles, often = np.unique(words[:learnt], return_counts=True)
    doubles, together = np.unique(both[: learnt - 1], return_counts=True)
    chosen = np.argsort(-np.concatenate([often, together]), kind="stable")[:rows]
    kept, kept_pairs = np.sort(chosen[chosen < len(singles)]), np.sort(chosen[chosen >= len(singles)]) - len(singles)
    number = np.full(len(known), -1)
    number[singles[kept]] = np.arange(len(kept))
    words = np.where(number[words] < 0, number[known == UNKNOWN], number[words])
    place = np.searchsorted(doubles[kept_pairs], both)
    found = np.append(doubles[kept_pairs], -1)[place] == both
    padding = len(kept) + len(kept_pairs)
    return Text(words, np.where(found, len(kept) + place, padding), padding)


class Model(nn.Module):
    """Two tables: of what is around a word, and of the words."""

    def __init__(self, text: Text, width: int, sparse: bool):
        super().__init__()
        rows, padding = text.padding + 1, text.padding
        self.around = nn.EmbeddingBag(rows, width, mode="mean", sparse=sparse, padding_idx=padding)
        self.word = nn.Embedding(len(text.count), width, sparse=sparse)
        nn.init.zeros_(self.word.weight)
        self.frequency = torch.from_numpy(text.count).log()

    def forward(self, context: Tensor, candidates: Tensor) -> Tensor:
        """u·h for each position and candidate."""
        return self.around(context) @ self.word(candidates).T

    def scores(self, context: Tensor) -> Tensor:
        """log p, but for a constant, for each position and word; reads the whole table, which must be up to date."""
        return self.around(context) @ self.word.weight.T + self.frequency


def sampled_loss(model: Model, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Cross-entropy [nats] of the right word among itself and the others, less those others that are it."""
    context, answers, others = batch
    scores = model(context, torch.cat([answers, others]))
    right, wrong = scores.diagonal()[:, None], scores[:, len(answers) :]
    wrong = wrong.masked_fill(answers[:, None] == others, -torch.inf)
    return cross_entropy(torch.cat([right, wrong], dim=1), torch.zeros_like(answers))


def task(text: Text, width: int, batch: int) -> Task:
    """Learn the first nine tenths; `batch` positions and as many other words a step."""
    places = np.random.default_rng(0).integers(text.learnt + SIDE, len(text.words) - SIDE, HELD)

    def batches(seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = np.random.default_rng(seed)
        while True:
            at = generator.integers(SIDE, text.learnt - SIDE, batch)
            yield text.context(at), text.answers(at), text.answers(generator.integers(0, text.learnt, batch))

    def held(model: Model) -> float:
        chunks = np.split(places, HELD // CHUNK)
        losses = [cross_entropy(model.scores(text.context(at)), text.answers(at)).item() for at in chunks]
        return float(np.mean(losses))

    guess = float(-np.log(text.count[text.words[places]] / text.learnt).mean())
    title = f"Which word stands here? {text.padding:,} words and pairs, {len(text.count):,} answers, width {width}"
    return Task(
        title, lambda sparse: Model(text, width, sparse), batches, sampled_loss, held, (guess, "a guess by frequency")
    )


def main(
    data_: Annotated[Path | None, typer.Option("--data", help="The folder that has wikitext-2.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each way.")] = 1000,
    rows: Annotated[int, typer.Option(min=100, help="Words and pairs of the first table.")] = 30_000,
    width: Annotated[int, typer.Option(min=1, help="Numbers a row.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Positions a step.")] = 128,
    optimizer: Annotated[str, typer.Option(help="Any of stepwell.torch: adam, adagrad, ….")] = "adam",
    lr: Annotated[float, typer.Option(min=0.0, help="Learning rate.")] = 0.003,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and batches.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Processors; those of a shared machine wait for each other.")] = 1,
    double: Annotated[
        bool, typer.Option("--double", help="In double precision: less rounding to tell ways apart.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("stepwell-results/text_classifier.png"),
) -> None:
    """Predict words of WikiText-2 with dense gradients, lazy sparse ones and exact sparse ones; compare them."""
    rule = one_of("optimizer", optimizer, optimizers())
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    try:
        text, short = read(data_, rows), read(data_, 100)
    except data.DataError as error:
        fail(error)
    learning, small = task(text, width, batch), task(short, width, batch)
    runs = compare(learning, small, three(rule, lr, steps, steps), seed)
    print(f"{learning.title}; {rule.__name__}, lr {lr:g}, {batch} positions a step, threads: {threads}\n")
    print(table(learning, runs))
    picture(learning, runs, out)


if __name__ == "__main__":
    typer.run(main)
