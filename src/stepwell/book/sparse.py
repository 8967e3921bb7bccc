"""Why a rate for each coordinate: words that are seldom seen, and how much of them is learnt.

A weight that belongs to a rare word has a gradient only where the word occurs. One rate for all weights must suit the
words that are in every sentence, so the others have hardly moved when the training ends. A rate that falls with the
number of a word's occurrences helps, if one can say what an occurrence is; Adagrad asks the gradients themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepwell.book import words
from stepwell.book.section import Page, Section
from stepwell.lab.training.plain import one_thread
from stepwell.pages import plots
from stepwell.rule import Positive, Rate, rule, sign, sqrt

section = Section("sparse", "Sparse features", __doc__)

RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
EPOCHS, BATCH, EVERY = 2, 16, 20
SEARCHED = 2  # seeds by which a rate is chosen
RAREST = 3  # tenths of the vocabulary


@rule
def counted(g, s, *, lr: Rate = 1.0, c: Positive = 1.0):
    """A rate that falls with the root of how often the gradient was not zero: the counter that leads to Adagrad."""
    s = s + abs(sign(g))
    return lr * g / sqrt(s + c), s


@dataclass(frozen=True)
class Learnt:
    """What a training came to: `loss` on held-out paragraphs [nats]; `groups`, what each tenth of the vocabulary alone
    gains over a guess, of shape (measurements, 10), [nats]; `steps`, when it was measured."""

    loss: float
    groups: np.ndarray
    steps: np.ndarray


def optimizers() -> dict[str, Callable[..., Any]]:
    """The three that are compared."""
    from stepwell.torch import SGD, Adagrad, from_rule

    return {"SGD": SGD, "SGD, rate by count": from_rule(counted), "Adagrad": Adagrad}


def train(corpus: words.Corpus, make: Callable[..., Any], lr: float, seed: int, *, curve: bool = True) -> Learnt:
    """Softmax regression from words to articles, from weights 0; measured at the end and, if `curve`, on the way."""
    import torch

    weights = torch.zeros(len(corpus.vocabulary), corpus.articles, requires_grad=True)
    optimizer = make([weights], lr=lr)
    groups = [corpus.held.only(corpus.group == k) for k in range(words.GROUPS)]
    order, step = np.random.default_rng(seed), 0
    steps, gains = [0], [np.zeros(words.GROUPS)]
    with one_thread():
        for _ in range(EPOCHS):
            rows = order.permutation(len(corpus.train))
            for at in range(0, len(rows), BATCH):
                optimizer.zero_grad()
                corpus.train.take(rows[at : at + BATCH]).loss(weights).backward()
                optimizer.step()
                step += 1
                if curve and step % EVERY == 0:
                    steps, gains = [*steps, step], [*gains, _gains(groups, weights.detach(), corpus.articles)]
        end = weights.detach()
        final = _gains(groups, end, corpus.articles)
        return Learnt(corpus.held.loss(end).item(), np.array([*gains, final]), np.array([*steps, step]))


def best_rate(corpus: words.Corpus, make: Callable[..., Any], seeds: range) -> tuple[float, dict[float, float]]:
    """The rate of `RATES` with the least median loss on held-out paragraphs, and that loss for each rate."""
    losses = {lr: float(np.median([train(corpus, make, lr, seed, curve=False).loss for seed in seeds])) for lr in RATES}
    return min(losses, key=lambda lr: losses[lr]), losses


def _gains(groups: list[words.Bags], weights: Any, articles: int) -> np.ndarray:
    return np.array([np.log(articles) - group.loss(weights).item() for group in groups])


@section.experiment
def rare_words(page: Page) -> None:
    """Which article is a paragraph from? SGD and Adagrad, each at its best rate, by the frequency of words.

    Softmax regression on bags of words: a row of weights for each word, a column for each article of WikiText-2. Each
    rule takes the rate, of the same seven, that has the least loss on paragraphs held out. Then the vocabulary is cut
    into tenths by frequency, and each tenth must tell the held-out paragraphs alone, by its own rows: its gain is the
    loss of a guess, ln(articles), less its mean loss over the paragraphs that have such words. Two passes over the
    data in batches of 16, from zero weights; seeds give the order of data and are the same for every rule.
    """
    corpus, seeds, makers = words.corpus(page.options.data), range(page.options.seeds), optimizers()
    rates = {name: best_rate(corpus, make, seeds[:SEARCHED]) for name, make in makers.items()}
    learnt = {name: [train(corpus, make, rates[name][0], seed) for seed in seeds] for name, make in makers.items()}
    count, group = corpus.count, corpus.group
    page.say(
        f"{len(corpus.train)} paragraphs to learn from and {len(corpus.held)} held out, of {corpus.articles} articles; "
        f"{len(count)} words that are in {words.TIMES} paragraphs or more."
    )
    final = {name: np.array([run.groups[-1] for run in runs]) for name, runs in learnt.items()}
    ratio = final["Adagrad"] / final["SGD"]
    rows = [
        [k + 1, f"{count[group == k].min()} to {count[group == k].max()}"]
        + [_range(final[name][:, k], 3) for name in final]
        + [_range(ratio[:, k], 2)]
        for k in range(words.GROUPS)
    ]
    page.table(["tenth", "in paragraphs", *[f"{name} [nats]" for name in final], "Adagrad / SGD"], rows)
    for name, (lr, _) in rates.items():
        losses = np.array([run.loss for run in learnt[name]])
        page.measured(f"{name} at its best rate, {lr:g}: loss on held-out paragraphs [nats]", _range(losses, 3))
    page.say(
        "The loss over all words is another matter: frequent words say most of a paragraph's article, and a rule that "
        "has learnt more of the rare ones need not have the lower loss."
    )
    inside = all(min(RATES) < lr < max(RATES) for lr, _ in rates.values())
    page.claim("every best rate is inside the grid", inside, f"{min(RATES):g} to {max(RATES):g}")
    rare = (final["Adagrad"] > final["SGD"])[:, -RAREST:]
    page.claim(
        f"rare words: Adagrad has learnt more of each of the {RAREST} rarest tenths than SGD at its best rate",
        bool(rare.all()),
        f"{rare.sum()} of {rare.size} (tenths, seeds); {_range(ratio[:, -RAREST:], 1)} times as much",
    )
    page.measured(
        "the rarer the words, the greater Adagrad's lead? Rank correlation of tenth and median ratio",
        f"{_rank_correlation(np.median(ratio, axis=0)):.2f}",
    )
    page.figure("rare_words", _by_frequency(corpus, rates, final))
    page.figure("on_the_way", _on_the_way(learnt))


def _range(values: np.ndarray, places: int) -> str:
    return f"{values.min():.{places}f} to {values.max():.{places}f}"


def _rank_correlation(values: np.ndarray) -> float:
    """Spearman's, of values against their places."""
    return float(np.corrcoef(np.arange(len(values)), np.argsort(np.argsort(values)))[0, 1])


RULES = {"SGD": "gradient_descent", "SGD, rate by count": None, "Adagrad": "adagrad"}


def _by_frequency(corpus: words.Corpus, rates: dict[str, Any], final: dict[str, np.ndarray]) -> Any:
    tenths = np.arange(1, words.GROUPS + 1)
    gains = [
        plots.Line(name, np.median(v, axis=0), tenths, RULES[name], v.min(axis=0), v.max(axis=0), "o")
        for name, v in final.items()
    ]
    searches = [
        plots.Line(name, list(losses.values()), list(losses), RULES[name], marker="o")
        for name, (_, losses) in rates.items()
    ]
    return plots.figure(
        "Rare words: what has been learnt of them",
        plots.lines(
            gains, "Each tenth of the vocabulary alone", "tenth of the vocabulary (1: the most frequent words)",
            "gain over a guess [nats]", log="y",
        ),
        plots.lines(
            searches, "How each rate was chosen", "learning rate", "loss on held-out paragraphs [nats]",
            log="x", ylim=(0.0, 1.1 * float(np.log(corpus.articles))),
        ),
    )  # fmt: skip


def _on_the_way(learnt: dict[str, list[Learnt]]) -> Any:
    panels = []
    parts = {"The most frequent tenth": slice(0, 1), f"The {RAREST} rarest tenths, mean": slice(-RAREST, None)}
    for title, part in parts.items():
        curves = []
        for name, runs in learnt.items():
            gains = np.array([run.groups[:, part].mean(axis=1) for run in runs])
            low, high = gains.min(axis=0), gains.max(axis=0)
            curves.append(plots.Line(name, np.median(gains, axis=0), runs[0].steps, RULES[name], low, high))
        panels.append(plots.lines(curves, title, "step", "gain over a guess [nats]"))
    return plots.figure("On the way: frequent words and rare ones", *panels)
