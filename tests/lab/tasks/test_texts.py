"""Where the text is from, and what is predicted of it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepwell.lab import data, tasks
from stepwell.lab.data import DataError
from stepwell.lab.tasks import texts
from tests.lab.conftest import data_folder
from tests.lab.test_tasks import RATE, made, marginal, measure, one_thread, refused

__all__ = ["one_thread"]  # a fixture of every test here


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(data, "_download", refused)
    return monkeypatch


@pytest.fixture
def wikitext(no_download: pytest.MonkeyPatch) -> Path:
    return data_folder("wikitext-2/valid.txt")


@pytest.fixture
def documentation(no_download: pytest.MonkeyPatch) -> texts.Text:
    no_download.delenv(data.VARIABLE, raising=False)
    return texts.read()


@pytest.mark.parametrize("make", [tasks.text, tasks.transformer])
@pytest.mark.parametrize("way", ["given", "in the environment"])
def test_wikitext_is_taken_where_it_is(way: str, make: Any, wikitext: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.VARIABLE, raising=False)
    if way == "in the environment":
        monkeypatch.setenv(data.VARIABLE, str(wikitext))
    task = make(wikitext if way == "given" else None)
    assert task.about.startswith("WikiText-2;")
    model = task.fresh(0)
    optimizer, batches = torch.optim.Adam(model.parameters(), RATE), task.source.passes(0)
    first = measure(task, model)[0]
    for _ in range(100):
        optimizer.zero_grad()
        task.evaluate(model, next(batches))[0].backward()
        optimizer.step()
    assert measure(task, model)[0] < min(0.7 * first, 0.95 * marginal(task))


def test_wikitexts_own_parts_are_what_is_trained_and_measured_on(wikitext: Path) -> None:
    found = texts.read(wikitext)
    files = [(wikitext / "wikitext-2" / f"{part}.txt").read_bytes().decode() for part in ("valid", "test")]
    assert [len(found.train), len(found.measured)] == [len(file) for file in files]
    for numbers, file in zip((found.train, found.measured), files, strict=True):
        assert all(len(set(numbers[[i for i, x in enumerate(file[:5000]) if x == c]])) == 1 for c in "the ")


@pytest.mark.parametrize("folder", ["empty", "missing", "none"])
def test_else_the_text_is_pythons_own(folder: str, tmp_path: Path, no_download: pytest.MonkeyPatch) -> None:
    no_download.setenv(data.VARIABLE, str(tmp_path if folder == "empty" else tmp_path / "nowhere"))
    if folder == "none":
        no_download.delenv(data.VARIABLE)
    assert texts.read().name.startswith("Python 3")
    assert len(texts.read().train) > 100_000


def test_a_damaged_wikitext_is_said_and_not_replaced(tmp_path: Path, no_download: pytest.MonkeyPatch) -> None:
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "valid.txt").write_text("not the one")
    no_download.setenv(data.VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match=r"is not wikitext-2/valid\.txt"):
        tasks.text()


def test_the_text_measured_on_is_another(documentation: texts.Text) -> None:
    rows = made("transformer").data
    trained_on, measured_on = ({piece.tobytes() for piece in x} for x in (rows.inputs, rows.measured_inputs))
    assert len(trained_on & measured_on) <= 0.01 * len(measured_on)  # rules of signs are everywhere
    train, measured = (part.astype(np.uint8).tobytes() for part in (documentation.train, documentation.measured))
    pieces = [measured[i : i + 50] for i in range(0, len(measured) - 50, 50)]
    assert sum(piece in train for piece in pieces) < 0.02 * len(pieces)


def test_characters_are_numbered_by_frequency(documentation: texts.Text) -> None:
    found = documentation
    count = np.bincount(found.train, minlength=texts.SYMBOLS)
    assert (np.diff(count[1:]) <= 0).all()
    assert count[1] == max(count)
    assert count[-1] > 0
    assert found.measured.max() < texts.SYMBOLS
    assert 0 < np.mean(found.measured == 0) < 0.05  # the rare ones


def test_the_target_is_the_next_character(documentation: texts.Text) -> None:
    train = documentation.train
    windows, pieces = made("text").data, made("transformer").data
    assert np.array_equal(windows.inputs[0], train[: texts.WINDOW])
    assert windows.targets[0] == train[texts.WINDOW]
    assert windows.targets[-1] == train[-1]
    assert np.array_equal(windows.inputs[-1], train[-texts.WINDOW - 1 : -1])
    assert np.array_equal(pieces.inputs[:, 1:], pieces.targets[:, :-1])
    assert np.array_equal(pieces.targets[-1], train[-texts.PLACES :])


def test_the_loss_of_pairs_is_counted() -> None:
    found = texts.Text("", train=np.array([1, 2, 1, 2, 1, 3]), measured=np.array([1, 2, 1, 3]))
    expected = -math.log(3 / 67) - math.log(3 / 66) - math.log(2 / 67)
    assert found.of_pairs == pytest.approx(expected / 3)


def test_the_transformer_sees_the_past_and_not_what_comes() -> None:
    task = made("transformer")
    model = task.fresh(0).double()
    tokens = torch.from_numpy(task.data.inputs[:4])
    other = tokens.clone()
    other[:, 20] = (tokens[:, 20] + 1) % texts.SYMBOLS
    change = (model(tokens) - model(other)).abs().amax(dim=(0, 2))
    assert change.shape == (texts.PLACES,)
    assert (change[:20] == 0).all()
    assert (change[20:] > 1e-6).all()
    swapped = tokens.clone()
    swapped[:, [0, 1]] = tokens[:, [1, 0]]
    assert (model(swapped) - model(tokens))[:, 5].abs().max() > 1e-6  # places count
