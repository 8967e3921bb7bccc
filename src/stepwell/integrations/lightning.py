"""The doctor at a training of Lightning.

from lightning.pytorch import Trainer
from stepwell.integrations.lightning import DoctorCallback

Trainer(callbacks=[DoctorCallback()]).fit(model, loader)
"""
# pyright: reportMissingImports=false

import sys
from typing import Any

from stepwell.integrations import needs as _needs

try:
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        raise ImportError  # both are installed together, and that one is in use
    from lightning.pytorch import Callback
    from lightning.pytorch.utilities import rank_zero_warn
except ImportError:
    try:
        from pytorch_lightning import Callback
        from pytorch_lightning.utilities import rank_zero_warn
    except ImportError as error:
        raise _needs("lightning", "lightning") from error

from stepwell.integrations.watcher import DoctorWarning, Watcher

__all__ = ["DoctorCallback", "DoctorWarning"]


class DoctorCallback(Watcher, Callback):
    """The doctor at every optimizer of `trainer.fit`.

    Each sample's numbers go to the trainer's loggers, as "doctor/…" beside what the module logs at that batch, or as
    "doctor-0/…", "doctor-1/…" of several optimizers. What is wrong is a `DoctorWarning` when it is first found, and all
    of it one more at the end. Both are of the first process alone; each process watches what it trains.

    The loss of a step is the sum of what was differentiated since the step before: with `accumulate_grad_batches` the
    mean over the batches, since Lightning divides each; with optimization by hand what `manual_backward` was given.
    With `precision="16-mixed"` loss and gradients are those without the scaler's factor, and a step that the scaler
    skips is none. A checkpoint has what was told, so that a training that goes on from it says it no second time.

    Not looked at are validation and tests, and their sanity check.

    Args, attributes and errors: see `stepwell.integrations.watcher.Watcher`.
    """

    _before: frozenset[str] = frozenset()

    @property
    def state_key(self) -> str:
        """Two of these may be at one training if they differ in `every`."""
        return self._generate_state_key(every=self.every)

    def state_dict(self) -> dict[str, Any]:
        """What has been told."""
        return {"told": sorted(self._told)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What had been told, when the training that goes on now was kept."""
        self._before = frozenset(state_dict["told"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        told, self._before = self._before, frozenset()
        self._begin(trainer.optimizers, pl_module, told)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the samples, and warn of what is new."""
        self._stepped(_step(trainer))
        if self._taken:
            self._write(trainer)
            self._warn(self._news())

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop, and say what was found."""
        self._finish(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop, and say what was found until then."""
        self._finish(trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Stop, wherever the training was left."""
        self.stop()

    def _finish(self, trainer: Any) -> None:
        if self._running:
            self.stop()
            self._write(trainer)
            self._warn([*self._news(), self._conclusion()])

    def _write(self, trainer: Any) -> None:
        for step, numbers in self._numbers(_step(trainer)):
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=step)

    def _warn(self, texts: list[str]) -> None:
        for text in filter(None, texts):
            rank_zero_warn(text, category=DoctorWarning, stacklevel=2)


def _step(trainer: Any) -> int:
    """The step at which loggers have what the module logs at this batch."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped
