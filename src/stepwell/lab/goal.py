"""What a run is to reach, and a metric that says how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepwell.domain import REAL

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-6  # 342 of 360 is 95 %, in whatever parts they are counted


@dataclass(frozen=True)
class Goal:
    """When a run has got there: `metric`, "loss" or "accuracy", is as good as `value`; `words` say it in a table."""

    metric: str
    value: float
    words: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", REAL.check("value", self.value))

    def reached(self, loss: float, accuracy: float | None) -> bool:
        """Whether these measurements are good enough, to the rounding of float32; NaN is not."""
        margin = ROUNDING * abs(self.value)
        if self.metric == "loss":
            return loss <= self.value + margin
        return accuracy is not None and accuracy >= self.value - margin


def accuracy(output: Any, target: Any) -> "Tensor":
    """The share of rows whose largest output is at the target's place."""
    return (output.argmax(dim=-1) == target).to(output.dtype).mean()


def metric_name(metric: Callable[..., Any] | None) -> str:
    """The name of a metric's function; "metric" for one without a name."""
    name = "accuracy" if metric is None else getattr(metric, "__name__", type(metric).__name__)
    return "metric" if name == "<lambda>" else name
