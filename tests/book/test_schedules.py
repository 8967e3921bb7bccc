"""The chapter's numbers on schedules, LeNet's data and training, and noise that samples."""

import math
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepwell import schedules
from stepwell.book import lenet
from stepwell.book import schedules as chapter
from stepwell.book.section import Options, Page, run
from stepwell.lab import data
from stepwell.lab.batches import Data


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No files but those of a test, and no network: the requests made."""
    asked: list[str] = []

    def refuse(url: str, timeout: float) -> Any:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("STEPWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STEPWELL_DATA", raising=False)
    return asked


def test_the_books_numbers() -> None:
    assert run(chapter.every_schedule).holds
    assert chapter.SQUARE_ROOT(29) == pytest.approx(0.1 / math.sqrt(30)) == pytest.approx(0.018257, abs=5e-7)
    assert [chapter.FACTOR(t) for t in (0, 49)] == pytest.approx([1.8, 2 * 0.9**50])
    assert chapter.FACTOR(49) == pytest.approx(0.010308, abs=5e-7)
    assert [chapter.MULTI_FACTOR(t) for t in (0, 14, 15, 29)] == [0.5, 0.5, 0.25, 0.25]
    assert chapter.COSINE(10) == pytest.approx(0.155)
    assert [chapter.WARM_COSINE(t) for t in range(6)] == pytest.approx([0, 0.06, 0.12, 0.18, 0.24, 0.3])
    assert chapter.WARM_COSINE(20) == chapter.COSINE(20) == 0.01


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("SQUARE_ROOT", schedules.polynomial(1.0, 1.0, 0.1)),
        ("FACTOR", schedules.factor(0.9, rate=2.0, floor=1e-2)),  # not multiplied before the first answer
        ("MULTI_FACTOR", schedules.multi_factor([16, 31], rate=0.5)),
        ("COSINE", schedules.linear(20, 0.3, 0.02)),
        ("WARM_COSINE", schedules.warmup(5, 0.3, start=0.06).then(schedules.cosine(15, 0.3, 0.01))),
    ],
)
def test_a_wrong_schedule_is_not_the_books(monkeypatch: pytest.MonkeyPatch, name: str, wrong: Any) -> None:
    monkeypatch.setattr(chapter, name, wrong)
    assert [line.holds for line in run(chapter.every_schedule).lines].count(False) == 1


def test_lenet_is_the_books() -> None:
    model = lenet.lenet(0)
    assert sum(p.numel() for p in model.parameters()) == 61_706
    assert [type(layer).__name__ for layer in model.children()].count("MaxPool2d") == 2
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    weights = [torch.cat([p.flatten() for p in lenet.lenet(seed).parameters()]) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_without_fashion_mnist_there_are_digits_and_it_is_said(tmp_path: Path, offline: list[str]) -> None:
    found = lenet.images(Options(data=tmp_path))
    assert "digits" in found.name
    assert len(offline) == 1  # asked once, not for each of its files
    assert found.data.inputs.shape == (1437, 1, 28, 28)
    assert found.data.inputs.dtype == np.float32
    assert 0 <= found.data.inputs.min() < found.data.inputs.max() <= 1
    assert "digits" in lenet.images(Options(full=True)).name
    assert len(offline) == 2


def test_fashion_mnist_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = np.full((1600, 28, 28), 51, np.uint8), np.arange(1600, dtype=np.uint8) % 10

    def fashion(given: Path | None) -> Any:
        if given != tmp_path:
            raise data.MissingError
        return pixels, labels, pixels[:600], labels[:600]

    monkeypatch.setattr(data, "fashion_mnist", fashion)
    found = lenet.images(Options(data=tmp_path))
    assert "Fashion-MNIST" in found.name
    assert (found.data.inputs.shape, found.data.measured_inputs.shape) == ((1500, 1, 28, 28), (500, 1, 28, 28))
    assert found.data.inputs[0, 0, 0, 0] == pytest.approx(0.2)
    assert found.data.targets.dtype == np.int64
    full = lenet.images(Options(data=tmp_path, full=True))
    assert (len(full.data.inputs), full.batch, full.epochs, full.steps) == (1600, 256, 30, 7)


def test_files_that_are_not_fashion_mnist_are_no_reason_for_digits(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"MNIST, say")
    with pytest.raises(data.DataError, match="md5"):
        lenet.images(Options(data=tmp_path))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> lenet.Images:
    """Twenty images of two kinds, which a few steps tell apart."""
    pixels = np.zeros((20, 1, 28, 28), np.float32)
    pixels[::2, :, :14] = 1
    labels = np.arange(20) % 2
    images = lenet.Images("twenty images", Data(pixels, labels, pixels, labels), 10, 3, range(1))
    monkeypatch.setattr(chapter, "images", lambda options: images)
    return images


def test_epochs_are_what_the_schedule_counts(tiny: lenet.Images) -> None:
    """A rate that is there in the second epoch alone moves nothing in the first and the third."""
    first, second, third = chapter.learn(tiny, schedules.piecewise_constant([1, 2], [0, 0.1, 0]), 0)
    still = chapter.learn(tiny, schedules.constant(0.0), 0)
    assert first == still[0]
    assert second.test_loss != first.test_loss
    assert third.test_loss == second.test_loss


def test_a_training_learns_and_is_its_seeds(tiny: lenet.Images) -> None:
    model = lenet.lenet(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    found = list(lenet.fit(model, optimizer, tiny.data, batch=5, epochs=15, seed=0))
    assert found[-1].train_accuracy == found[-1].test_accuracy == 1
    assert found[-1].test_loss < found[0].train_loss
    assert chapter.learn(tiny, chapter.COSINE, 0) == chapter.learn(tiny, chapter.COSINE, 0)


@pytest.mark.usefixtures("tiny")
def test_lenets_page_measures_and_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chapter, "LEARNT", 0.0)
    page = run(chapter.lenet_on_images)
    assert "twenty images" in page.notes[0]
    assert [row[0] for row in page.tables[0].rows] == list(chapter.TRAINED)
    assert [line.holds for line in page.lines] == [None]
    monkeypatch.setattr(chapter, "LEARNT", 1.1)
    stuck = run(chapter.lenet_on_images)
    assert {tuple(row[1:]) for row in stuck.tables[0].rows} == {("0 of 1", *"-----")}
    assert not stuck.lines


def test_the_exercises_end_inside_their_ranges() -> None:
    page = run(chapter.exercises, Options(seeds=1))
    assert len(page.lines) == 3
    rate = float(page.lines[0].got.split()[0])
    assert 0.03 < rate < 1
    assert np.array_equal(chapter.tried(0.1, range(1), 1), chapter.tried(0.1, range(1), 1))
    assert chapter.tried(0.0, range(1), 1)[0] > 2.2 > chapter.tried(0.3, range(1), 2)[0]


def distances(page: Page) -> dict[str, list[float]]:
    return {row[0]: [float(x) for x in row[1:]] for row in page.tables[0].rows}


def test_distance_from_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    page = run(chapter.distance_from_optimum)
    assert page.holds
    found = distances(page)
    assert found["polynomial, α = 1"][-1] < found["polynomial, α = ½"][-1] < found["constant"][-1]
    assert found["constant"][-1] == pytest.approx(math.sqrt(0.1 / (4 - 0.4) + 0.1 / (8 - 1.6)), rel=0.1)
    minimize = chapter.minimize
    monkeypatch.setattr(chapter, "minimize", lambda *args, **more: minimize(*args, **{**more, "noise": 1.1}))
    assert not run(chapter.distance_from_optimum).holds


def test_langevin_samples_the_density_and_that_of_its_temperature_alone() -> None:
    page = run(chapter.langevin_dynamics)
    assert page.holds
    for _, found, expected, near, far in page.tables[0].rows:
        assert float(found) == pytest.approx(float(expected), rel=0.06)
        assert 5 * float(near) < float(far)


def test_langevin_with_half_the_variance_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    langevin = chapter.langevin
    monkeypatch.setattr(chapter, "langevin", lambda surface, temperature: langevin(surface, temperature / 2))
    assert not run(chapter.langevin_dynamics).holds


def test_a_gaussian_well_has_its_variance() -> None:
    """For f = ½x² the density is N(0, T); the discrete chain's variance is T/(1 - η/2), nearly that."""
    from stepwell.functions import surfaces

    samples = chapter.langevin(surfaces.half_square, 0.25, lr=0.02, steps=2000)
    assert samples.std() == pytest.approx(0.5, rel=0.03)
    shares = chapter.density(surfaces.half_square, 0.25, np.array([-10.0, 0.0, 10.0]))
    assert shares == pytest.approx([0.5, 0.5])
