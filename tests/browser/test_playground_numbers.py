"""The playground's own JavaScript against Python: every rule and every surface, to 1e-9."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

from stepwell.functions import minimize, surfaces
from stepwell.functions.descent import Status
from stepwell.kernels import Stages, interpret, javascript
from stepwell.kernels.trace import trace
from stepwell.lab.landscapes.grid import Landscape
from stepwell.pages.playground import data, page
from stepwell.pages.playground.sliders import bounds
from stepwell.rule import Rate, Rule, exp, log, maximum, minimum, rule, sign, sqrt, tanh, where
from stepwell.rules import named
from tests.browser.playground import SURFACE, close, descended, equal
from tests.kernels.own_rules import OWN

PLANES = ["ravine_rotated", "beale", "styblinski_tang"]
CURVES = ["wave", "log_sum_exp"]


def rough() -> Landscape:
    """A plane with much going on, on uneven axes."""
    draw = np.random.default_rng(5)
    a, b = np.cumsum(draw.uniform(0.2, 0.6, 12)), np.cumsum(draw.uniform(0.1, 0.4, 17))
    losses = (a[:, None] - 2) ** 2 + (b - 2) ** 2 + 0.3 * draw.standard_normal((12, 17))
    return Landscape(about="A rough plane", a=a, b=b, losses=losses)


@pytest.fixture(scope="module")
def shown(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One page for all comparisons: they only call its functions."""
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    path.write_text(page(rough()), encoding="utf-8")
    opened = chromium.new_page()
    opened.goto(path.as_uri())
    yield opened
    opened.close()


def odd(name: str, seed: int) -> dict[str, float]:
    """Hyperparameters that are nobody's defaults, each inside its domain."""
    draw = np.random.default_rng([seed, *name.encode()])
    found = {}
    for hyper in named[name].hyperparameters.values():
        low, high = bounds(hyper.domain)
        if np.isfinite(high["at"]):
            found[hyper.name] = high["at"] - (high["at"] - low["at"]) * 10 ** draw.uniform(-2.2, -0.3)
        elif hyper.name == "lr":
            found[hyper.name] = 10 ** draw.uniform(-2.5, -1.5)
        else:
            found[hyper.name] = max(low["at"], 0.0) + 10 ** draw.uniform(-3.0, -1.5)
    return found


def in_python(surface: str, name: str, hyper: dict[str, float], start: list[float], steps: int, **more: Any) -> Any:
    x0 = start if len(start) > 1 else start[0]
    return minimize(surfaces.named[surface], x0, name, steps=steps, **hyper, **more)


@pytest.mark.parametrize("name", named)
def test_every_rule_takes_pythons_path(shown: Any, name: str) -> None:
    for seed, surface in enumerate(PLANES + CURVES):
        hyper, steps = odd(name, seed), 60 + 30 * seed
        start = [x + 0.137 for x in surfaces.named[surface].start]
        found = descended(shown, surface, name, hyper, start, steps)
        equal(found, in_python(surface, name, hyper, start, steps))
        assert abs(found["points"][-1] - found["points"][0]) > 1e-6


def test_every_rule_is_on_the_page(shown: Any) -> None:
    assert shown.evaluate("Object.keys(RULES)") == list(named)


@pytest.mark.parametrize("surface", surfaces.named)
def test_every_surface_has_pythons_values_and_slopes(shown: Any, surface: str) -> None:
    known = surfaces.named[surface]
    sides = np.add(np.transpose(known.domain), [[-1], [1]])
    points = np.random.default_rng(1).uniform(sides[0], sides[1], (300, known.dimension))
    found = np.array(shown.evaluate(SURFACE, [surface, points.tolist()]), float)
    values, slopes = known(points), known.gradient(points)
    for k in range(len(points)):
        close(found[k, 0], values[k], abs(values).mean() * 1e-3)
        close(found[k, 1:], slopes[k], abs(slopes).mean() * 1e-3)


@pytest.mark.parametrize("surface", ["rosenbrock", "beale", "cosh", "cubic"])
def test_a_diverging_path_ends_where_pythons_does(shown: Any, surface: str) -> None:
    start = [x + 0.3 for x in surfaces.named[surface].start]
    expected = in_python(surface, "momentum", {"lr": 3.0, "beta": 0.7}, start, 80)
    assert expected.status == Status.DIVERGED
    found = descended(shown, surface, "momentum", {"lr": 3.0, "beta": 0.7}, start, 80)
    assert found["end"] == "diverged"
    equal(found, expected)


@pytest.mark.parametrize("seed", range(data.SEEDS))
@pytest.mark.parametrize(("surface", "name"), [("ravine", "adam"), ("wave", "nesterov"), ("bowl", "adagrad_rowwise")])
def test_noise_is_numpys_own(shown: Any, surface: str, name: str, seed: int) -> None:
    start, hyper = list(surfaces.named[surface].start), odd(name, seed)
    found = descended(shown, surface, name, hyper, start, data.MOST_STEPS, {"sd": 0.7, "seed": seed})
    equal(found, in_python(surface, name, hyper, start, data.MOST_STEPS, noise=0.7, seed=seed))


def test_the_users_plane_is_scipys_spline(shown: Any) -> None:
    plane = rough()
    draw = np.random.default_rng(2)
    points = draw.uniform([plane.a[0], plane.b[0]], [plane.a[-1], plane.b[-1]], (400, 2)).tolist()
    points += [[x, y] for x in (plane.a[0], plane.a[5], plane.a[-1]) for y in (plane.b[0], plane.b[7], plane.b[-1])]
    points += [[plane.a[0] - 1e-9, plane.b[3]], [plane.a[3], plane.b[-1] + 1e-9]]
    found = np.array(shown.evaluate(SURFACE, [data.OWN, points]), float)
    for (value, *slope), point in zip(found, points, strict=True):
        close(value, plane(point), 1.0)
        close(slope, plane.gradient(point), 1.0)
    assert np.isnan(found[-2:]).all()


@pytest.mark.parametrize("name", ["momentum", "adam", "lion", "adadelta"])
def test_rules_descend_the_users_plane(shown: Any, name: str) -> None:
    plane, hyper = rough(), cast(dict[str, Any], odd(name, 3))
    start = [float(plane.a[-4]), float(plane.b[3])]
    expected = minimize(plane, start, name, steps=70, jac=plane.gradient, **hyper)
    equal(descended(shown, data.OWN, name, hyper, start, 70), expected)


def test_a_path_that_leaves_the_users_plane_says_so(shown: Any) -> None:
    plane = rough()
    start = [float(plane.a[-2]), float(plane.b[-2])]
    found = descended(shown, data.OWN, "gradient_descent", {"lr": 5.0}, start, 70)
    equal(found, minimize(plane, start, "gradient_descent", lr=5.0, steps=70, jac=plane.gradient))
    assert found["end"] == "left"


SINGLE: dict[str, Callable[[Any, Any], Any]] = {
    "plus": lambda g, v: g + v, "minus": lambda g, v: g - v, "times": lambda g, v: g * v, "over": lambda g, v: g / v,
    "power": lambda g, v: g**v, "root": lambda g, v: g**0.5, "cube": lambda g, v: g**3, "fourth": lambda g, v: g**4,
    "below": lambda g, v: where(g < v, 1.0, -1.0), "no_more": lambda g, v: where(g <= v, 1.0, -1.0),
    "above": lambda g, v: where(g > v, g, v), "no_less": lambda g, v: where(g >= v, g, v),
    "larger": maximum, "smaller": minimum, "side": lambda g, v: sign(g), "size": lambda g, v: abs(g),
    "opposite": lambda g, v: -g, "sqrt": lambda g, v: sqrt(g), "exp": lambda g, v: exp(g), "log": lambda g, v: log(g),
    "tanh": lambda g, v: tanh(g),
}  # fmt: skip


def single(name: str) -> Rule:
    """A rule whose state is the outcome of one operation."""

    def formula(g, v, *, lr: Rate = 0.1):
        return lr * g, SINGLE[name](g, v)

    formula.__name__ = name
    return rule(formula)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.3, -2.7, 1e-200, 1e200, float("inf"), float("-inf"), float("nan")]
STEPS = """([source, rows, t, h]) => rows.map((at) => {
  const arrays = Object.fromEntries(Object.entries(at).map(([name, x]) => [name, Float64Array.from(x, Number)]));
  eval(source)(arrays, t, h.map(Number));
  return Object.fromEntries(Object.entries(arrays).map(([name, x]) => [name, Array.from(x, String)]));
})"""


@pytest.mark.parametrize("own", [*OWN, *map(single, SINGLE)], ids=lambda own: own.name)
def test_every_operation_means_what_it_does_in_python(shown: Any, own: Any) -> None:
    program = trace(own, Stages())
    draw = np.random.default_rng(0)
    hyper, state = dict.fromkeys(own.hyperparameters, 0.6), dict.fromkeys(program.scalar_state, 1.0)
    pairs = [{name: draw.permutation(SPECIAL)[k] for name in program.arrays} for _ in range(12) for k in range(9)]
    pairs += [dict.fromkeys(program.arrays, x) | {"g": y} for x in SPECIAL for y in SPECIAL]
    for t in (1, 150):
        scalars = {"t": float(t), **hyper, **state}
        expected = [interpret.run(program, {k: np.full((1, 1), x) for k, x in row.items()}, scalars) for row in pairs]
        source = javascript.step_source(program)
        given = [{name: [words(x)] for name, x in (row | state).items()} for row in pairs]
        found = shown.evaluate(STEPS, [source, given, t, list(hyper.values())])
        for one, each in zip(found, expected, strict=True):
            for name, value in each.items():
                np.testing.assert_allclose(number(one[name][0]), np.asarray(value).item(), rtol=1e-12)


def words(x: float) -> str:
    return str(x).replace("inf", "Infinity")


def number(text: str) -> float:
    return float(text.replace("Infinity", "inf"))
