"""The doctor at a training of Hugging Face's Trainer.

from transformers import Trainer
from stepwell.integrations.transformers import DoctorCallback

Trainer(model, args, train_dataset=data, callbacks=[DoctorCallback()]).train()
"""
# pyright: reportMissingImports=false

import copy
import sys
import warnings
from typing import Any

from stepwell.integrations import needs as _needs

try:
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback
    from transformers.trainer_callback import CallbackHandler
except ImportError as error:
    raise _needs("transformers", "transformers", "accelerate") from error

from stepwell.integrations.watcher import DoctorWarning, Watcher

__all__ = ["DoctorCallback", "DoctorWarning"]


class DoctorCallback(Watcher, TrainerCallback):
    """The doctor at the optimizer of `trainer.train`.

    Each sample's numbers go, at the step at which it was taken, to the other callbacks as logs, among them those of
    `report_to`, but not to those that print; the numbers of the whole, without those of single parameters, into
    `trainer.state.log_history`, too. What is wrong is a `DoctorWarning` when it is first found, and all of it one more
    at the end; both in the first process alone.

    The loss of a step is the sum of what was differentiated since the step before: with `gradient_accumulation_steps`
    the mean over the batches, since the Trainer divides each. With `fp16` loss and gradients are those without the
    scaler's factor, and a step that the scaler skips is none.

    The Trainer tells its callbacks nothing of an exception: after one, the doctor stays until `stop()` or until the
    next training begins.

    Args, attributes and errors: see `stepwell.integrations.watcher.Watcher`.
    """

    _handler: CallbackHandler | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch."""
        caller = sys._getframe(1).f_locals.get("self")  # the Trainer gives its callbacks no other way to its logs
        self._handler = caller if isinstance(caller, CallbackHandler) else None
        optimizer = kwargs["optimizer"]
        while hasattr(optimizer, "optimizer"):  # Accelerate's
            optimizer = optimizer.optimizer
        self._begin([optimizer], kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log the samples, and warn of what is new."""
        self._stepped(state.global_step)
        if self._taken:
            self._write(args, state, control, **kwargs)
            self._warn(state, self._news())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> None:
        """Stop at the last logs of a training, after which those of `report_to` close."""
        if "train_runtime" in logs:
            self._finish(args, state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop, if it was not done."""
        self._handler = None
        self._finish(args, state, control, **kwargs)

    def _finish(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._running:
            self.stop()
            self._write(args, state, control, **kwargs)
            self._warn(state, [*self._news(), self._conclusion()])

    def _write(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        then = copy.copy(state)
        for then.global_step, numbers in self._numbers(state.global_step):
            whole = {name: value for name, value in numbers.items() if name.startswith("doctor/")}
            state.log_history.append({"epoch": state.epoch, **whole, "step": then.global_step})
            for callback in self._handler.callbacks if self._handler else ():
                if callback is not self and not isinstance(callback, PrinterCallback | ProgressCallback):
                    callback.on_log(args, then, control, logs=dict(numbers), **kwargs)

    def _warn(self, state: Any, texts: list[str]) -> None:
        for text in filter(None, texts) if state.is_world_process_zero else ():
            warnings.warn(text, DoctorWarning, stacklevel=2)
