"""The engines that run a rule, each over one trial: what the arrays are after each step."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import stepwell.numpy as door
from stepwell.kernels import Stages, cpu, eager, interpret
from stepwell.kernels.trace import updates
from stepwell.testing.trial import Arrays, Trial

Engine = Callable[[Trial], Iterator[Arrays]]


def by_eager(trial: Trial) -> Iterator[Arrays]:
    """The rule on whole arrays, in their own dtype."""
    yield from _stepped(trial, lambda arrays, scalars: eager.step(trial.rule, arrays, scalars))


def by_interpreter(trial: Trial) -> Iterator[Arrays]:
    """The traced rule, operation by operation: what frameworks with compilers of their own are given."""
    program = updates(trial.rule)

    def step(arrays: Arrays, scalars: Arrays) -> Arrays:
        numbers = {name: arrays[name] for name in program.scalar_state}
        rest = {name: x for name, x in arrays.items() if name not in numbers}
        new = interpret.run(program, rest, scalars | numbers)
        return {"p": arrays["p"] + new.pop("update"), **new}

    yield from _stepped(trial, step)


def by_kernel(trial: Trial) -> Iterator[Arrays]:
    """The compiled kernel, through the door of NumPy."""
    yield from _through_numpy(trial, list(trial.gradients))


def by_rows(trial: Trial) -> Iterator[Arrays]:
    """The kernel of rows, through the same door; with "exact" all rows are brought up to date now and then."""
    gradients = [None if g is None else _rows(g, named) for g, named in zip(trial.gradients, trial.named, strict=True)]
    yield from _through_numpy(trial, gradients, sparse=trial.sparse)


ENGINES: dict[str, Engine] = {"eager": by_eager, "interpreter": by_interpreter, "kernel": by_kernel}
"""Those that take any gradient. A rule that reads whole rows has no kernel of its own; the door runs it eagerly."""


def _rows(g: np.ndarray, named: np.ndarray) -> door.Rows:
    return door.Rows(np.concatenate([named, named]), np.concatenate([g[named], g[named]]) / 2)


def _stepped(trial: Trial, step: Callable[[Arrays, Arrays], Arrays]) -> Iterator[Arrays]:
    numbers, t = cpu.program(trial.rule, Stages()).scalar_state, trial.age
    arrays: Arrays = {"p": trial.start, **trial.state}
    arrays |= {name: float(arrays[name]) for name in numbers}
    for g in trial.gradients:
        if g is not None:
            t += 1
            with np.errstate(all="ignore"):
                arrays = step({**arrays, "g": g}, {**trial.hyper, "t": t})
        yield arrays


def _through_numpy(trial: Trial, gradients: list[Any], **options: Any) -> Iterator[Arrays]:
    optimizer = door.from_rule(trial.rule)([trial.start], **trial.hyper, **options)
    if trial.age:
        aged = {0: {**trial.state, "step": trial.age}}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": aged})
    for k, g in enumerate(gradients):
        optimizer.step([g])
        if trial.sparse == "exact" and (k + 1) % 10:
            yield {}
            continue
        optimizer.flush()
        state = optimizer.state.get(0, trial.state)
        yield {"p": optimizer.params[0], **{name: state[name] for name in trial.rule.state}}
