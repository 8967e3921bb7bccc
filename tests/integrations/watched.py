"""What the doctor says, without a training: for the writers, which take it as it is."""

import math
from types import SimpleNamespace
from typing import Any


def sample(step: int) -> Any:
    """A sample with numbers of the whole and of parameters, one of which has a name that some packages refuse."""
    numbers = {"lr": 0.1, "loss": 2.0 / (step + 1), "sharpness": math.inf, "update ratio/0.weight": 1e-3 * (step + 1),
               "update ratio/odd[name]": 0.5}  # fmt: skip
    return SimpleNamespace(step=step, scalars=lambda: numbers)


def watch(*names: str) -> Any:
    """A watch that found something of each name."""
    found = [
        SimpleNamespace(
            name=name, title=f"It is {name}", step=40 + i, evidence=f"loss {i}", cure="less", where=("0.w",)
        )
        for i, name in enumerate(names)
    ]
    document = {"schema": "stepwell.doctor", "findings": list(names), "worst": math.nan}

    class Watch:
        findings, steps = found, 60

        def document(self) -> dict[str, Any]:
            return document

        def __str__(self) -> str:
            return f"The doctor found {names}"

    return Watch()
