"""Rare words: the bags are what they should be, and the section's claim tells Adagrad from SGD."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepwell.book import sparse, words
from stepwell.book.section import Options, run
from stepwell.lab import data
from tests.lab.conftest import data_folder

FILLER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau"


def article(title: str, own: list[str], paragraphs: int = 20) -> str:
    """An article in WikiText's form whose paragraphs have its own words in turn."""
    lines = [f" {FILLER} {own[k % len(own)]} 12 , <unk> {title.lower()} " for k in range(paragraphs)]
    return f" \n = {title} = \n \n = = History = = \n \n" + "\n".join(lines) + "\n too short a line \n"


TEXT = article("North", ["ice", "snow"]) + article("South", ["sand"]) + article("Stub", ["word"], paragraphs=9)


@pytest.fixture(scope="module")
def small() -> words.Corpus:
    return words.bags([TEXT])


def test_articles_paragraphs_and_words(small: words.Corpus) -> None:
    assert small.articles == 2  # the stub is left out
    assert (len(small.train), len(small.held)) == (32, 8)
    assert set(FILLER.split()) | {"ice", "snow", "sand", "north", "south"} == set(small.vocabulary)
    assert (np.diff(small.count) <= 0).all()
    assert small.count[0] == 32  # in every paragraph
    assert np.bincount(small.train.articles).sum() == 32


def test_a_bag_has_each_word_of_its_paragraph_once(small: words.Corpus) -> None:
    for k in range(len(small.train)):
        bag = small.train.take(np.array([k]))
        found = {small.vocabulary[word] for word in bag.words}
        assert len(found) == len(bag.words) == 21
        assert set(FILLER.split()) < found
        assert ("north" in found) == (bag.articles[0] == 0)


def test_the_loss_is_that_of_softmax_regression_on_dense_vectors(small: words.Corpus) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(len(small.vocabulary), 2, generator=generator)
    for bags in (small.held, small.train.take(np.array([3, 3, 0])), small.held.only(small.count < 20)):
        dense = torch.zeros(len(bags), len(small.vocabulary))
        for i in range(len(bags)):
            dense[i, bags.words[bags.first[i] : bags.first[i + 1]]] = 1
        logits = (dense @ weights).log_softmax(dim=1)
        expected = -logits[torch.arange(len(bags)), torch.from_numpy(bags.articles)].mean()
        assert bags.loss(weights).item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_leaves_out_paragraphs_without_such_words(small: words.Corpus) -> None:
    ice = np.array([word == "ice" for word in small.vocabulary])
    bags = small.train.only(ice)
    assert len(bags) == ice @ small.count
    assert set(bags.articles) == {0}


def test_groups_are_tenths_from_the_most_frequent_on(small: words.Corpus) -> None:
    group = small.group
    assert group[0] == 0
    assert group[-1] == words.GROUPS - 1
    assert (np.diff(group) >= 0).all()
    sizes = np.bincount(group)
    assert sizes.max() - sizes.min() <= 1


def test_the_counter_steps_by_how_often_a_gradient_was_there() -> None:
    s = np.zeros(2)
    for n in range(1, 4):
        step, s = sparse.counted(np.array([2.0, 0.0]), s, lr=0.5, c=1.0)
        assert step.tolist() == pytest.approx([0.5 * 2.0 / np.sqrt(n + 1), 0.0])
    assert s.tolist() == [3, 0]


def test_zero_weights_gain_nothing_and_a_row_moves_only_with_its_word(small: words.Corpus) -> None:
    found = sparse.train(small, sparse.optimizers()["SGD"], 0.0, 0)
    assert found.loss == pytest.approx(np.log(2), rel=1e-6)
    assert np.allclose(found.groups[np.isfinite(found.groups)], 0, atol=1e-6)


def experiment(
    monkeypatch: pytest.MonkeyPatch, makers: dict[str, Any], corpus: words.Corpus, rates: tuple[float, ...]
) -> Any:
    for name, value in {"RATES": rates, "SEARCHED": 1, "EVERY": 200}.items():
        monkeypatch.setattr(sparse, name, value)
    monkeypatch.setattr(sparse, "optimizers", lambda: makers)
    monkeypatch.setattr(words, "corpus", lambda given: corpus)
    return run(sparse.rare_words, Options(seeds=1))


def rare_words(page: Any) -> bool:
    return next(line.holds for line in page.lines if line.what.startswith("rare words: Adagrad"))


def test_adagrad_learns_rare_words_faster_and_sgd_under_its_name_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = words.corpus(data_folder("wikitext-2/valid.txt"))
    makers = sparse.optimizers()
    page = experiment(monkeypatch, makers, corpus, (0.3, 3.0))
    assert rare_words(page)
    inside = next(line for line in page.lines if line.what.startswith("every best rate"))
    assert inside.holds is False  # of two rates each is at an edge
    assert set(page.figures) == {"rare_words", "on_the_way"}
    assert len(page.tables[0].rows) == words.GROUPS
    for row in page.tables[0].rows[-3:]:
        assert float(row[-1].split()[0]) > 2  # times as much, at the least over seeds
    false = experiment(monkeypatch, makers | {"Adagrad": makers["SGD"]}, corpus, (3.0,))
    assert not rare_words(false)


def test_without_the_data_all_ways_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(data.DataError, match=r"wikitext-2/valid\.txt") as caught:
        words.corpus(tmp_path)
    for way in ("--data PATH", "STEPWELL_DATA=PATH", "http"):
        assert way in str(caught.value)
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2/valid.txt").write_text("other")
    with pytest.raises(data.DataError, match="sha256"):
        words.corpus(tmp_path)
