"""What a test of a rule asks of a door: to train with it. How each does so is in `doors`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.trial import Arrays

NAME = "w"  # of a trial's only parameter


class Training(ABC):
    """Parameters in training at a door, by `from_rule`.

    Args:
        rule, hyper: the rule, and every hyperparameter of it; `lr` may be a schedule.
        arrays: the parameters at the start, by name; they are copied.

    Raises:
        ImportError: the door's framework is not installed; it says what to install.
    """

    optimizer: Any
    params: Any = None  # what a checkpoint takes the parameters' names from, beside the optimizer

    @abstractmethod
    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]): ...

    @classmethod
    def label(cls) -> str:
        """What is running, where a door has more than one engine below it: an addition to its name, or nothing."""
        return ""

    @abstractmethod
    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        """One step of the optimizer; None: a parameter has no gradient this time."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """The parameters as they are now, in their own dtype; copies."""

    @abstractmethod
    def saved(self) -> Any:
        """The optimizer's state as its framework saves it."""

    @abstractmethod
    def restore(self, saved: Any) -> None:
        """Go on where `saved` was taken."""

    def save(self, path: Any, names: Any = None) -> None:
        """`stepwell.checkpoint.save`."""
        from stepwell import checkpoint

        checkpoint.save(path, self.optimizer, self.params, names=names)

    def load(self, path: Any, names: Any = None) -> None:
        """`stepwell.checkpoint.load`."""
        from stepwell import checkpoint

        checkpoint.load(path, self.optimizer, self.params, names=names)


def run(training: Training, gradients: Sequence[np.ndarray | None]) -> Iterator[Arrays]:
    """Train that one parameter: what it is after each step, as `p`."""
    for g in gradients:
        training.step({NAME: g})
        yield {"p": training.arrays()[NAME]}
