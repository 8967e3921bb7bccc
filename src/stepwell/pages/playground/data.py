"""What the page knows: rules, surfaces, noise and the user's own plane, as plain data and as JavaScript."""

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stepwell.kernels import javascript
from stepwell.kernels.stages import Stages
from stepwell.kernels.trace import trace
from stepwell.pages.playground import formulas
from stepwell.pages.playground.sliders import bounds, default, slider
from stepwell.pages.rulebook import facts
from stepwell.pages.style import dashes, look
from stepwell.rule import Rule

if TYPE_CHECKING:
    from stepwell.functions.surfaces import Surface
    from stepwell.lab.landscapes.grid import Landscape

MOST_STEPS, SEEDS = 1000, 4
OWN = "own"
"""The name of the user's own plane among the surfaces."""


def about_rules(rules: Mapping[str, Rule]) -> dict[str, Any]:
    """By name: family, colour and dashes, formula, reference, and each hyperparameter with its slider."""
    return {name: _about_rule(rule) for name, rule in rules.items()}


def _about_rule(rule: Rule) -> dict[str, Any]:
    known = facts(rule)
    return {
        "family": rule.formula.__module__.rpartition(".")[2],
        "summary": known["summary"],
        "formula": "\n".join(known["formula"]),
        "reference": known["reference"],
        "colour": look(rule.name)["color"],
        "dash": dashes(rule.name),
        "hyper": [
            {"name": h.name, "default": default(h), "words": h.domain.words, "slider": slider(h)}
            | dict(zip(("low", "high"), map(_finite, bounds(h.domain)), strict=True))
            for h in rule.hyperparameters.values()
        ],
    }


def _finite(bound: dict[str, Any]) -> dict[str, Any] | None:
    return bound if math.isfinite(bound["at"]) else None


def about_surfaces(surfaces: Mapping[str, "Surface"]) -> dict[str, Any]:
    """By name: what is said of it, its domain, its minima and where a descent begins."""
    return {
        name: {
            "about": s.about,
            "dimension": s.dimension,
            "domain": s.domain,
            "minima": s.minima,
            "minimum": s.minimum,
            "start": s.start,
        }
        for name, s in surfaces.items()
    }


def about_plane(plane: "Landscape") -> dict[str, Any]:
    """The same of the user's own plane, with its spline's pieces, and the training's path."""
    x, y, coefficients = plane.pieces()
    return {
        "label": "your own loss",
        "about": plane.about,
        "dimension": 2,
        "domain": [[plane.a[0], plane.a[-1]], [plane.b[0], plane.b[-1]]],
        "minima": [],
        "minimum": None,
        "start": [float(f"{x:.4g}") for x in plane.start],
        "path": plane.path.tolist(),
        "share": plane.share,
        "missing": plane.missing,
        "points": plane.losses.size,
        "breaks": [x.tolist(), y.tolist()],
        "coefficients": packed(coefficients),
    }


def packed(numbers: np.ndarray) -> str:
    """Doubles, little-endian, in base 64."""
    return base64.b64encode(np.ascontiguousarray(numbers, "<f8").tobytes()).decode()


def draws() -> dict[str, Any]:
    """For each seed the numbers that `minimize` draws as noise, so that the page's path is Python's."""
    rows = [np.random.default_rng(seed).standard_normal(2 * MOST_STEPS) for seed in range(SEEDS)]
    return {"steps": MOST_STEPS, "seeds": SEEDS, "numbers": packed(np.array(rows))}


def rules_source(rules: Mapping[str, Rule]) -> str:
    """The rules as an object of `{start, step}`, by name."""
    parts = []
    for name, rule in rules.items():
        program = trace(rule, Stages())
        start, step = javascript.start_source(rule, program), javascript.step_source(program)
        parts.append(f"{name}: {{start: {start}, step: {step}}},")
    return _object("RULES", javascript.PRELUDE, parts)


def surfaces_source(surfaces: Mapping[str, "Surface"]) -> str:
    """The surfaces as an object of `{value, gradient}`, by name."""
    return _object("FORMULAS", formulas.PRELUDE, [f"{n}: {formulas.surface_source(s)}," for n, s in surfaces.items()])


def _object(name: str, prelude: str, parts: list[str]) -> str:
    return "\n".join([prelude, f"const {name} = {{", *parts, "};", ""])
