"""Every rule through a door beside the float64 reference: the cells of the matrix that the documentation shows.

A door's test file says which door it is:

    class TestMatrix(Matrix):
        door = "jax"

The run prints the cells at its end (conftest.py). With STEPWELL_KEEP_MATRIX=1 it keeps them in docs/doors/matrix, in a
file for the door, from which the documentation's page is made; each run checks that the kept file has every rule.
"""

import functools
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stepwell import rules
from stepwell.rule import Rule
from stepwell.testing.doors import DOORS, begin
from stepwell.testing.training import run
from stepwell.testing.trial import LIMITS, SHAPE, Trial, settings
from stepwell.testing.trial import difference as distance
from stepwell.testing.trial import reference as path
from tests.kernels.mutants import MUTANTS, mutant

FOLDER = Path(__file__).parents[2] / "docs" / "doors" / "matrix"
RULES = tuple(rules.named)
Train = Callable[[Rule, dict[str, float], np.ndarray, Sequence[np.ndarray]], np.ndarray]
"""(rule, hyperparameters, the parameter at the start, a gradient a step) to the parameter at the end."""

Cell = tuple[str, str, str, float]  # the door, the rule, the dtype, the difference


def difference(rule: Rule, dtype: str, train: Train, seed: int = 0) -> float:
    """The largest difference after 50 steps, relative to the largest element on the way."""
    trial = Trial(rule, settings(rule)[0], dtype, seed=seed)
    p = trial.start
    found = np.asarray(train(rule, dict(trial.hyper), p.copy(), [g for g in trial.gradients if g is not None]))
    assert trial.is_finite
    assert found.shape == SHAPE
    assert found.dtype == dtype
    assert not np.array_equal(found, p), "nothing was trained"
    return distance(trial, found)


def differs(right: Rule, wrong: Rule, limit: float) -> bool:
    """Whether a wrong rule ends elsewhere than the right one, by more than a limit, and at numbers."""
    trial = Trial(right, settings(right)[0])
    end = replace(trial, rule=wrong).path[-1]["p"]
    return bool(np.isfinite(end).all()) and distance(trial, end) > limit


def train(door: str, rule: Rule, hyper: Mapping[str, float], p: np.ndarray, gradients: Sequence[Any]) -> np.ndarray:
    """The parameter after all steps at a door."""
    *_, last = run(begin(door, rule, hyper, p), gradients)
    return last["p"]


def start(dtype: str) -> np.ndarray:
    """The parameter before the first step."""
    return Trial(rules.gradient_descent, {}, dtype).start


def gradients(dtype: str, seed: int = 0) -> list[Any]:
    """One a step."""
    return list(Trial(rules.gradient_descent, {}, dtype, seed=seed).gradients)


def reference(rule: Rule, hyper: Mapping[str, float], p: np.ndarray, given: Sequence[np.ndarray]) -> np.ndarray:
    """The parameter after each step, in float64 and straight from the rule."""
    return np.array([arrays["p"] for arrays in path(rule, hyper, p, given)])


def label(door: str) -> str:
    """The door's name in the matrix, and what runs below it."""
    return "-".join(filter(None, (door, DOORS[door].label())))


class Matrix:
    """The row of a door; to be subclassed."""

    door: ClassVar[str]

    @pytest.mark.parametrize("dtype", LIMITS)
    @pytest.mark.parametrize("name", RULES)
    def test_every_rule_is_the_reference(self, name: str, dtype: str, record_property: Callable[..., None]) -> None:
        found = difference(rules.named[name], dtype, functools.partial(train, self.door))
        record_property("cell", (label(self.door), name, dtype, found))
        assert found <= LIMITS[dtype]

    @pytest.mark.parametrize("dtype", LIMITS)
    @pytest.mark.parametrize("name", MUTANTS)
    def test_a_wrong_rule_is_told_from_the_right_one(self, name: str, dtype: str) -> None:
        right, wrong = MUTANTS[name][0], mutant(name)
        if name == "no_step_at_all":
            with pytest.raises(AssertionError, match="nothing was trained"):
                difference(right, dtype, lambda _, *given: train(self.door, wrong, *given))
        elif differs(right, wrong, 2 * LIMITS[dtype]):
            assert difference(right, dtype, lambda _, *given: train(self.door, wrong, *given)) > LIMITS[dtype]

    @pytest.mark.skipif("STEPWELL_KEEP_MATRIX" in os.environ, reason="it is being written")
    def test_the_kept_cells_are_all_there_and_within_the_limits(self) -> None:
        place = FOLDER / f"{label(self.door)}.json"
        assert place.exists(), f"{place} is missing; STEPWELL_KEEP_MATRIX=1 writes it"
        cells = json.loads(place.read_text("utf-8"))["cells"]
        assert cells.keys() == set(RULES), (
            "it was kept before the rules changed; STEPWELL_KEEP_MATRIX=1 writes it again"
        )
        for name, row in cells.items():
            assert row.keys() == set(LIMITS)
            assert all(x <= LIMITS[dtype] for dtype, x in row.items()), name


def table(cells: Iterable[Cell]) -> list[str]:
    """The cells as lines of text: a row for each rule, a column for each door and dtype."""
    found = {(f"{door} {dtype}", name): x for door, name, dtype, x in cells}
    columns = sorted({column for column, _ in found})
    names = [name for name in RULES if any((column, name) in found for column in columns)]
    width = max(map(len, names), default=0)
    lines = [" " * width + "".join(f"  {column}" for column in columns)]
    for name in names:
        row = [f"{found[column, name]:.1e}" if (column, name) in found else "" for column in columns]
        lines.append(f"{name:{width}}" + "".join(f"  {x:>{len(c)}}" for x, c in zip(row, columns, strict=True)))
    return lines


def keep(cells: Iterable[Cell]) -> list[str]:
    """Write the cells of every door that has all of them; what was done, in words."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for door, name, dtype, x in cells:
        rows.setdefault(door, {}).setdefault(name, {})[dtype] = float(f"{x:.1e}")
    said = []
    for door, found in rows.items():
        if found.keys() != set(RULES) or any(row.keys() != set(LIMITS) for row in found.values()):
            said.append(f"{door}: not kept, for not every cell was computed")
            continue
        cells_in_order = {name: found[name] for name in RULES}
        kept = {"door": door, "versions": _versions(door), "limits": LIMITS, "cells": cells_in_order}
        place = FOLDER / f"{door}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        said.append(f"{door}: kept in {place}")
    return said


def _versions(door: str) -> dict[str, str]:
    """The versions of the packages that are named as the door or its engine."""
    packages = importlib.metadata.packages_distributions()
    return {name: importlib.metadata.version(packages[name][0]) for name in door.split("-") if name in packages}
