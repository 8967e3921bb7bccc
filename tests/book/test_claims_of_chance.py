"""The claims 7 to 9 of the chapter on optimization in *Dive into Deep Learning*: minibatches, averages, epochs."""

import math

import numpy as np
import pytest

from stepwell.functions import minimize, surfaces, theory
from stepwell.lab.batches import Data
from stepwell.lab.task import Task
from stepwell.lab.training.plain import train
from stepwell.lab.trial import Trial


def test_claim_07_a_minibatch_is_unbiased_and_its_noise_falls_as_the_root() -> None:
    """With minibatches as noise on `minimize`'s gradient: one step of 4000 particles is 4000 drawn gradients."""
    random = np.random.default_rng(0)
    features, weights = random.normal(size=(500, 3)), np.array([0.5, -1.0, 2.0])
    targets = features @ [1.0, 1.0, 1.0] + random.normal(size=500)
    loss = surfaces.quadratic(features.T @ features / 500, -features.T @ targets / 500, float(targets @ targets) / 1000)
    full = weights - minimize(loss, weights, lr=1.0, steps=1).x
    each = features * (features @ weights - targets)[:, None]  # ∇fᵢ of ½(xᵢᵀw - yᵢ)²
    sizes = np.array([1, 4, 16, 64])

    def drawn(b: int) -> np.ndarray:
        def minibatch(rng: np.random.Generator, x: np.ndarray, g: np.ndarray) -> np.ndarray:
            rows = rng.integers(500, size=(len(x), b))
            return np.mean(features[rows] * ((features[rows] @ weights) - targets[rows])[..., None], axis=1)

        return weights - minimize(loss, np.tile(weights, (4000, 1)), lr=1.0, steps=1, noise=minibatch).x

    draws = [drawn(b) for b in sizes]
    spread = np.array([d.std(0).mean() for d in draws])
    slope = np.polyfit(np.log(sizes), np.log(spread), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.02)  # and not -1
    for b, found in zip(sizes, draws, strict=True):
        assert np.abs(found.mean(0) - full).max() < 5 * each.std(0).max() / math.sqrt(4000 * b)


def test_claim_08_averaged_sgd_keeps_its_bound() -> None:
    """On f = |x| with gradients sign(x) + U(-1, 1), at most L = 2."""
    r, slope, random = 1.0, 2.0, np.random.default_rng(0)
    gaps = []
    for steps in (25, 100, 400, 1600):
        lr = theory.sgd_best_rate(r, slope, steps)
        x, total = np.full(2000, r), np.zeros(2000)
        for _ in range(steps):
            total += x
            x = x - lr * (np.sign(x) + random.uniform(-1, 1, 2000))
        gaps.append(np.abs(total / steps).mean())
        bound = theory.sgd_bound(r, slope, [lr] * steps)
        assert bound == pytest.approx(r * slope / math.sqrt(steps))
        assert gaps[-1] <= bound
        assert gaps[-1] > r * slope / steps  # O(1/T) it is not
    order = np.polyfit(np.log([25, 100, 400, 1600]), np.log(gaps), 1)[0]
    assert order == pytest.approx(-0.5, abs=0.05)


def _rows_trained_on(n: int, epochs: int) -> np.ndarray:
    """The rows that the laboratory's training takes, in their order, shape (epochs, n)."""
    torch = pytest.importorskip("torch")
    seen = []

    def loss(outputs, targets):
        if len(targets) < n:  # and not a measurement, of all
            seen.extend(targets.int().ravel().tolist())
        return (outputs - targets).square().mean()

    rows = np.arange(n, dtype=np.float32)[:, None]
    task = Task(model=lambda: torch.nn.Linear(1, 1), data=Data(0 * rows, rows, 0 * rows, rows), loss=loss, batch=10)
    train(task, Trial("gradient_descent", 1e-9, 0, task.steps(epochs)))
    return np.reshape(seen, (epochs, n))


def test_claim_09_an_epoch_with_replacement_misses_a_third() -> None:
    n, random = 1000, np.random.default_rng(0)
    counts = np.array([np.bincount(random.integers(n, size=n), minlength=n) for _ in range(400)])
    assert (counts > 0).mean() == pytest.approx(1 - 1 / math.e, abs=2e-3)
    assert (counts == 1).mean() == pytest.approx(1 / math.e, abs=2e-3)
    assert 1 - (1 - 1 / n) ** n == pytest.approx(0.632, abs=5e-4)
    assert (1 - 1 / n) ** (n - 1) == pytest.approx(0.368, abs=5e-4)
    first, second = _rows_trained_on(n, 2)  # what the library does: without replacement, each once, in a new order
    for order in (first, second):
        assert np.bincount(order, minlength=n).tolist() == [1] * n
    assert (first != second).mean() > 0.9
    assert (first != np.arange(n)).mean() > 0.9
