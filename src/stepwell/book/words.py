"""WikiText-2 as bags of words: which article is a paragraph from?

An article begins at a heading ` = Title = `; its sections' headings have more signs. A paragraph is a line of 20 words
or more; a word is what has a letter, in lower case, less `<unk>`. What is left of WikiText-2's valid and test parts are
122 articles, of which those with 10 paragraphs or more are kept; every fifth paragraph, drawn once, is held out.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stepwell.lab import data

if TYPE_CHECKING:
    from torch import Tensor

TITLE = re.compile(r" = ([^=].*[^=]) = ")
WORDS, PARAGRAPHS = 20, 10  # the least that a paragraph, and an article, must have
TIMES = 2  # paragraphs, at least, that a word must be in to be learnt
GROUPS = 10

Paragraph = tuple[int, frozenset[str]]


@dataclass(frozen=True)
class Bags:
    """Paragraphs as sets of words: `words[first[i] : first[i + 1]]` are those of paragraph i, `articles[i]` is whose
    it is. Both count from 0; words from the most frequent on."""

    words: np.ndarray
    first: np.ndarray
    articles: np.ndarray

    def __len__(self) -> int:
        return len(self.articles)

    def take(self, rows: np.ndarray) -> "Bags":
        """These paragraphs alone."""
        sizes = np.diff(self.first)[rows]
        first = np.concatenate([[0], np.cumsum(sizes)])
        places = np.repeat(self.first[:-1][rows] - first[:-1], sizes) + np.arange(first[-1])
        return Bags(self.words[places], first, self.articles[rows])

    def only(self, kept: np.ndarray) -> "Bags":
        """Only the words for which `kept` is true, and the paragraphs that have any of them."""
        here = kept[self.words]
        first = np.concatenate([[0], np.cumsum(here)])[self.first]
        return Bags(self.words[here], first, self.articles).take(np.flatnonzero(np.diff(first)))

    def loss(self, weights: "Tensor") -> "Tensor":
        """Mean cross-entropy [nats] of softmax regression on words that are there or not; weights: (words, articles)"""
        import torch
        from torch.nn import functional

        words, first = torch.from_numpy(self.words), torch.from_numpy(self.first[:-1])
        outputs = functional.embedding_bag(words, weights, first, mode="sum")
        return functional.cross_entropy(outputs, torch.from_numpy(self.articles))


@dataclass(frozen=True)
class Corpus:
    """What is learnt, `train`, and what is held out; `count` has the paragraphs of `train` that a word is in."""

    train: Bags
    held: Bags
    vocabulary: tuple[str, ...]
    count: np.ndarray
    articles: int

    @property
    def group(self) -> np.ndarray:
        """Each word's tenth of the vocabulary by frequency: 0 has the most frequent words, 9 the rarest."""
        return np.arange(len(self.count)) * GROUPS // len(self.count)


def corpus(given: Path | None = None) -> Corpus:
    """WikiText-2 (Merity et al. 2016, <https://arxiv.org/abs/1609.07843>), from a folder that has wikitext-2/valid.txt
    and test.txt, or where `stepwell.lab.data` looks.

    Errors: `stepwell.lab.data.DataError` if it is nowhere or has another checksum.
    """
    return bags([data.read(source, given).decode() for source in data.WIKITEXT])


def bags(texts: Sequence[str]) -> Corpus:
    """A corpus of texts in WikiText's form."""
    paragraphs, articles = _kept([paragraph for text in texts for paragraph in _paragraphs(text)])
    order = np.random.default_rng(0).permutation(len(paragraphs))
    held, train = ([paragraphs[i] for i in sorted(rows)] for rows in np.split(order, [len(order) // 5]))
    count = Counter(word for _, words in train for word in sorted(words))
    vocabulary = sorted((w for w in count if count[w] >= TIMES), key=lambda word: (-count[word], word))
    number = {word: i for i, word in enumerate(vocabulary)}
    counts = np.array([count[word] for word in vocabulary])
    return Corpus(_numbered(train, number), _numbered(held, number), tuple(vocabulary), counts, articles)


def _paragraphs(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Pairs of an article, as its place and title, and a paragraph's words."""
    article = ""
    for place, line in enumerate(text.split("\n")):
        if title := TITLE.fullmatch(line):
            article = f"{place} {title[1]}"
        elif article and not line.startswith(" = ="):
            words = [word for word in line.lower().split() if word != "<unk>" and any(map(str.isalpha, word))]
            if len(words) >= WORDS:
                yield article, frozenset(words)


def _kept(paragraphs: Sequence[tuple[str, frozenset[str]]]) -> tuple[list[Paragraph], int]:
    """The paragraphs of the articles that have enough of them, articles numbered, and how many these are."""
    sizes = Counter(article for article, _ in paragraphs)
    number = {article: i for i, article in enumerate(a for a in sizes if sizes[a] >= PARAGRAPHS)}
    return [(number[article], words) for article, words in paragraphs if article in number], len(number)


def _numbered(paragraphs: Sequence[Paragraph], number: dict[str, int]) -> Bags:
    rows = [sorted(number[word] for word in words if word in number) for _, words in paragraphs]
    first = np.cumsum([0, *map(len, rows)])
    return Bags(np.array([w for row in rows for w in row], np.int64), first, np.array([a for a, _ in paragraphs]))
