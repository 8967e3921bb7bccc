"""A run as a trial of an Optuna study, and back."""

import dataclasses
import datetime
import json
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepwell.lab.trial import DIVERGED, Run

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

RUN = "stepwell_run"  # the attribute of a trial that has all of a run
WHOLE, LOGARITHMIC = ("seed", "steps"), ("lr", "steps")
RANGES = {  # by (whole, logarithmic): the first that holds a value; fixed, since Optuna's tools compare them
    (False, True): ((1e-10, 1e4), (5e-324, 1e308)),
    (False, False): ((0.0, 1.0), (-1e9, 1e9)),
    (True, True): ((1, 10**7), (1, 2**53)),
    (True, False): ((0, 99), (-(2**53), 2**53)),
}


def to_trial(run: Run, optimizers: Sequence[str]) -> "FrozenTrial":
    """The run as a finished trial of a study of these optimizers.

    Its parameters are the optimizer, lr, seed, steps and the other hyperparameters, but for what no distribution of
    `distribution` holds. Its value is the loss. A run that diverged is PRUNED and has no value: so Optuna's samplers
    take it for worse than all others, as they would an infinite loss, and forget it if it were FAIL; it is never the
    best trial; and no picture has to leave it out, as it would an infinite value.

    Errors: ValueError or TypeError for a number that JSON has no word for.
    """
    from optuna.trial import TrialState, create_trial

    data = {**{f.name: getattr(run, f.name) for f in dataclasses.fields(run)}, "hyper": dict(run.hyper)}
    data = json.loads(json.dumps(data, allow_nan=False, default=operator.methodcaller("item")))
    params = {**data["hyper"], **{name: data[name] for name in ("optimizer", "lr", "seed", "steps")}}
    given = {name: found for name, value in params.items() if (found := distribution(name, value, optimizers))}
    lost = run.status == DIVERGED
    attributes = {"status": run.status, "metric": run.metric, RUN: data}
    trial = create_trial(
        state=TrialState.PRUNED if lost else TrialState.COMPLETE,
        value=None if lost else run.loss,
        params={name: params[name] for name in given},
        distributions=given,
        user_attrs={name: value for name, value in attributes.items() if value is not None},
    )
    assert trial.datetime_complete is not None
    trial.datetime_start = trial.datetime_complete - datetime.timedelta(seconds=run.seconds)
    return trial


def to_run(number: int, data: Any) -> Run:
    """The run that the trial of that number keeps as its attribute `RUN`, equal to what was kept.

    Errors: ValueError if it has other fields.
    """
    try:
        return Run(**{**data, "hyper": tuple(data["hyper"].items())})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"trial {number} has a run of another version of Stepwell: {error}") from error


def distribution(name: str, value: Any, optimizers: Sequence[str]) -> "BaseDistribution | None":
    """What Optuna is told that a parameter was drawn from, or None.

    Optuna refuses a parameter whose kind, scale or choices change within a study, and its samplers and importances
    leave out one whose range does. So they depend on the name, and the range is wide, fixed, and left only for a value
    outside of it. Logarithmic are lr, ε's and steps, which leaves out a rate of 0.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if name == "optimizer":
        return CategoricalDistribution(tuple(optimizers)) if value in optimizers else None
    whole, logarithmic = name in WHOLE, name in LOGARITHMIC or name.startswith("eps")
    for low, high in RANGES[whole, logarithmic]:
        if low <= value <= high:
            if whole:
                return IntDistribution(int(low), int(high), log=logarithmic)
            return FloatDistribution(low, high, log=logarithmic)
    return None
