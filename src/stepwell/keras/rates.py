"""Learning rates in both directions: a schedule of this library as one of Keras's, and what optimizers take."""
# pyright: reportMissingImports=false

import dataclasses
from types import SimpleNamespace
from typing import Any

import keras
from keras import ops

from stepwell import schedules, symbolic
from stepwell.domain import Rate, check
from stepwell.keras.arithmetic import double_precision, kept_dtype, wide


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return symbolic.where(condition, wide(yes), wide(no))


def _sin(x: Any) -> Any:
    return symbolic._library(x).sin(x)


# the backends' own functions: those of keras.ops may give back the default dtype
_VOCABULARY = SimpleNamespace(
    where=_where,
    minimum=lambda x, y: _where(x < y, x, y),
    maximum=lambda x, y: _where(x > y, x, y),
    exp=lambda x: symbolic.exp(wide(x)),
    log=lambda x: symbolic.log(wide(x)),
    sin=lambda x: _sin(wide(x)),
    floor=lambda x: x // 1.0,
)


@keras.saving.register_keras_serializable(package="stepwell")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of this library as a `LearningRateSchedule`, for any optimizer of Keras, Keras's own too.

    It is computed in double precision, inside a compiled step like outside, and saved with the model.

    Args:
        schedule: a `stepwell.schedules.Schedule`.

    Raises:
        TypeError: `schedule` is none.
    """

    def __init__(self, schedule: schedules.Schedule):
        if not isinstance(schedule, schedules.Schedule):
            raise TypeError(f"schedule must be one of stepwell.schedules; got {schedule!r}")
        self.schedule = schedule

    def __call__(self, step: Any) -> Any:
        with double_precision():
            rate = wide(self.schedule.formula(wide(step), _VOCABULARY))
            return ops.cast(rate, kept_dtype())

    def get_config(self) -> dict[str, Any]:
        """The schedule as nested dictionaries of its arguments."""
        return {"schedule": _written(self.schedule)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Schedule":
        """The schedule that `get_config` has written."""
        return cls(_read(config["schedule"]))


def _written(value: Any) -> Any:
    if isinstance(value, schedules.Schedule):
        if not dataclasses.is_dataclass(value):
            raise TypeError(f"only a schedule that is a dataclass can be saved; got {value!r}")
        arguments = {f.name: _written(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"kind": type(value).__name__, "arguments": arguments}
    return list(value) if isinstance(value, tuple) else value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kinds = {kind.__name__: kind for kind in _kinds(schedules.Schedule)}
    if value["kind"] not in kinds:
        raise ValueError(f"the schedule {value['kind']!r} is unknown; import the module that defines it first")
    return kinds[value["kind"]](**{name: _read(argument) for name, argument in value["arguments"].items()})


def _kinds(base: type) -> list[type]:
    return [kind for sub in base.__subclasses__() for kind in (sub, *_kinds(sub))]


def rate_of(value: Any) -> Any:
    """What Keras takes for `value`: a float, a `LearningRateSchedule`, or a function without arguments.

    Raises:
        TypeError: no rate at all, or one with a memory, which a compiled step would not look at again.
        ValueError: a number that is negative, infinite or NaN.
    """
    if isinstance(value, schedules.Schedule):
        return Schedule(value)
    if isinstance(value, schedules.reduce_on_plateau):
        raise TypeError(
            "learning_rate must not be a reduce_on_plateau: a compiled step sees its first rate alone; "
            "use keras.callbacks.ReduceLROnPlateau"
        )
    if callable(value):
        return value
    return check(Rate, "learning_rate", value)
