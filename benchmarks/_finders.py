"""What finds a learning rate: this library's ways, and others' where they are installed, all with their defaults."""

import contextlib
import hashlib
import importlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from stepwell.lab import find_lr
from stepwell.lab.candidates import choose
from stepwell.lab.randomness import seeded
from stepwell.lab.rates import range_test, short_runs, swept
from stepwell.lab.task import Task
from stepwell.lab.training.plain import one_thread

Found = tuple[float | None, int]  # the rate, and how many steps it took


@dataclass(frozen=True)
class Finder:
    """A way to find a rate.

    Attributes:
        name, version: of it; the version is None where it is not installed.
        find: from a task, an optimizer's name and a seed to the rate and the steps that it took.
    """

    name: str
    version: str | None
    find: Callable[[Task, str, int], Found]

    def timed(self, task: Task, optimizer: str, seed: int) -> dict[str, Any]:
        """What it found and what that cost, with one thread."""
        with one_thread():
            began = time.perf_counter()
            rate, steps = self.find(task, optimizer, seed)
            return {"rate": rate, "steps": steps, "seconds": round(time.perf_counter() - began, 4)}


def finders() -> list[Finder]:
    """All, in the order of the table."""
    sweep, growing = _hash(short_runs, swept), _hash(range_test)
    return [
        Finder("find_lr", sweep, _sweep),
        Finder('find_lr, method="range"', growing, _steepest),
        Finder("range test, a tenth of the lowest", growing, _tenth),
        Finder("torch-lr-finder", _installed("torch-lr-finder"), _torch_lr_finder),
        Finder("Lightning's tuner", _installed("lightning"), _lightning),
    ]


def _hash(*modules: Any) -> str:
    """What changes when one of the modules does."""
    return hashlib.sha256(b"".join(Path(m.__file__).read_bytes() for m in modules)).hexdigest()[:8]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sweep(task: Task, optimizer: str, seed: int) -> Found:
    found = find_lr(task, optimizer, seeds=[seed])
    return found.rate, found.cost.steps


def _range(task: Task, optimizer: str, seed: int) -> range_test.RangeTest:
    (candidate,) = choose([optimizer]).values()
    return range_test.range_test(task, candidate, seed, (), candidate.rate, task.steps())


def _steepest(task: Task, optimizer: str, seed: int) -> Found:
    found = find_lr(task, optimizer, seeds=[seed], method="range")
    return found.rate, found.cost.steps


def _tenth(task: Task, optimizer: str, seed: int) -> Found:
    seen = _range(task, optimizer, seed)
    return seen.tenth, seen.steps


def _parts(task: Task, optimizer: str, seed: int, lr: float) -> tuple[Any, Any, DataLoader[Any]]:
    """Model, optimizer and loader, as a training has them."""
    (candidate,) = choose([optimizer]).values()
    model = task.fresh(seed)
    data = TensorDataset(torch.from_numpy(task.data.inputs), torch.from_numpy(task.data.targets))
    loader = DataLoader(data, task.batch, shuffle=True, generator=torch.Generator().manual_seed(seed))
    return model, candidate.build(model, lr, {}), loader


def _torch_lr_finder(task: Task, optimizer: str, seed: int) -> Found:
    """Its range test from 1e-7, where its introduction begins, and its suggestion: the steepest."""
    import matplotlib

    matplotlib.use("agg")
    with _quiet(), seeded(seed):
        from matplotlib import pyplot

        LRFinder = importlib.import_module("torch_lr_finder").LRFinder

        model, built, loader = _parts(task, optimizer, seed, 1e-7)
        finder = LRFinder(model, built, task.loss, device="cpu")
        finder.range_test(loader)
        figure, axes = pyplot.subplots()
        _, rate = finder.plot(ax=axes, suggest_lr=True)
        pyplot.close(figure)
        return float(rate), len(finder.history["lr"])


def _lightning(task: Task, optimizer: str, seed: int) -> Found:
    """`Tuner.lr_find` and its suggestion: the steepest."""
    with _quiet(), seeded(seed), tempfile.TemporaryDirectory() as folder:
        lightning = importlib.import_module("lightning.pytorch")
        tuner = importlib.import_module("lightning.pytorch.tuner")
        network, _, loader = _parts(task, optimizer, seed, 1e-3)
        (candidate,) = choose([optimizer]).values()

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.network, self.lr = network, 1e-3

            def training_step(self, batch: Any, _: int) -> Any:
                return task.loss(self.network(batch[0]), batch[1])

            def configure_optimizers(self) -> Any:
                return candidate.build(self.network, self.lr, {})

        trainer = lightning.Trainer(
            accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        found = tuner.Tuner(trainer).lr_find(Module(), train_dataloaders=loader)
        return found.suggestion(), len(found.results["lr"])


@contextlib.contextmanager
def _quiet() -> Any:
    level, nowhere = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
