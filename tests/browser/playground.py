"""What tests of the playground share: the page's functions called from Python, and what they must equal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepwell.functions.descent import Status

TOLERANCE = 1e-9
NO_NOISE = {"sd": 0, "seed": 0}
DESCEND = """([surface, rule, hyper, start, steps, noise]) => {
  const { made, end, points, values } = descend(SURFACES[surface], rule, hyper, start, steps, noise);
  return { made, end, points: Array.from(points, String), values: Array.from(values, String) };
}"""
SURFACE = """([surface, points]) => points.map((point) => {
  const g = new Float64Array(point.length);
  SURFACES[surface].gradient(point, g);
  return [SURFACES[surface].value(point), ...g].map(String);
})"""


def descended(
    page: Any, surface: str, rule: str, hyper: Mapping[str, float], start: Sequence[float], steps: int,
    noise: Mapping[str, float] = NO_NOISE,
) -> dict[str, Any]:  # fmt: skip
    """A path that the page's own JavaScript finds."""
    found = page.evaluate(DESCEND, [surface, rule, dict(hyper), list(start), steps, dict(noise)])
    return {**found, "points": np.array(found["points"], float), "values": np.array(found["values"], float)}


def equal(found: Mapping[str, Any], expected: Any) -> None:
    """The same path as Python's, point by point, each to 1e-9 of its size; the same values, and the same end."""
    path = np.reshape(expected.path, (len(expected.values), -1))
    points = found["points"].reshape(path.shape)
    assert found["made"] == expected.nit
    assert (found["end"] == "done") == (expected.status != Status.DIVERGED)
    size, apart = np.abs(path).max(1), np.abs(points - path).max(1)
    known: Any = np.isfinite(path).all(1)
    assert np.array_equal(np.isfinite(points).all(1), known)
    assert known[0]
    assert (apart[known] <= TOLERANCE * np.maximum(size[known], 1e-3)).all()
    close(found["values"], expected.values, abs(expected.values[0]))


def close(found: Any, expected: Any, size: float) -> None:
    """Numbers that agree to 1e-9, of themselves or of that size; NaN with NaN, ∞ with ∞."""
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * size)
