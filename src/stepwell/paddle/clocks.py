"""Accumulators that are functions of the step: ours keep the step itself, and write them for a state dict."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_TINY = 2.0**-149  # the smallest number in single precision


class Clock(Protocol):
    """A function of the step."""

    def value(self, hyper: Mapping[str, float], step: int) -> float:
        """What the accumulator holds after so many updates."""
        ...


@dataclass(frozen=True)
class Power:
    """base^(step + ahead), of a number or of the hyperparameter so named."""

    base: str | float
    ahead: int = 0

    def of(self, hyper: Mapping[str, float]) -> float:
        """The base itself."""
        return hyper[self.base] if isinstance(self.base, str) else self.base

    def value(self, hyper: Mapping[str, float], step: int) -> float:
        return self.of(hyper) ** (step + self.ahead)

    def steps(self, hyper: Mapping[str, float], value: float) -> int:
        """The step at which this is the value; where it has faded to 0, the one at which it did."""
        base = self.of(hyper)
        if not 0 < base < 1:
            return 0
        return max(round(math.log(max(value, _TINY)) / math.log(base)) - self.ahead, 0)


@dataclass(frozen=True)
class Rectifier:
    """t·βᵗ / (1 - βᵗ), with which RAdam shortens the length of its average; 1 before the first step."""

    base: str

    def value(self, hyper: Mapping[str, float], step: int) -> float:
        power = hyper[self.base] ** step
        return step * power / (1 - power) if step else 1.0


def steps_of(clocks: Mapping[str, Clock], hyper: Mapping[str, float], values: Mapping[str, float]) -> int:
    """The step that accumulators with these values tell; that of the slowest, which fades last."""
    powers = {name: clock for name, clock in clocks.items() if isinstance(clock, Power)}
    slowest = max(powers, key=lambda name: powers[name].of(hyper), default=None)
    return 0 if slowest is None else powers[slowest].steps(hyper, values[slowest])
