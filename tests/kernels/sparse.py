"""A table of rows driven by sparse gradients, and the dense optimizer on the same gradients with zeros elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu, eager, ledger, merge, pool, rows, table
from stepwell.kernels.table import Table
from stepwell.rule import Rule
from tests.kernels.harness import PLAIN, SURROUND, Arrays, address

EVERY_RULE = list(rules.named.values())
ALL_THREE = Stages(scale=True, decay=True, ema=True)
WARM = 20  # dense steps, before, of a table that is loaded

# The largest error in an array over its largest element, after hundreds of steps.
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}

Gradient = tuple[np.ndarray, np.ndarray]  # indices, values


@dataclass(frozen=True)
class Sparse:
    """A rule over a table, and gradients for it: some rows in nearly every one, some hardly ever.

    Args:
        touches: how many indices a gradient has, on average; every seventh is empty.
        rarity: row `rows·xʳ` for x even in [0, 1).
        hyper: over the rule's defaults.
        rate: a schedule that multiplies `lr`.
        age: the step that the table was loaded at, with the state it then had.
    """

    rule: Rule
    stages: Stages = PLAIN
    dtype: str = "float32"
    mode: str = "exact"
    rows: int = 50
    width: int = 5
    steps: int = 200
    touches: float = 3.0
    rarity: float = 3.0
    hyper: Mapping[str, float] = field(default_factory=dict)
    rate: Callable[[int], float] | None = None
    age: int = 0

    def __str__(self) -> str:
        return f"{self.rule.name} {self.stages} {self.dtype} {self.mode} {dict(self.hyper)}"

    @property
    def real(self) -> str:
        """What gradients and numbers are computed in."""
        return "float64" if self.dtype == "float64" else "float32"

    def scalars(self, t: int) -> dict[str, float]:
        """Every scalar of step t."""
        given = {h.name: 0.1 for h in self.rule.hyperparameters.values() if h.default is None}
        hyper = self.rule.complete(given | dict(self.hyper)) | SURROUND[0]
        return hyper | ({"lr": hyper["lr"] * self.rate(t - 1)} if self.rate is not None else {})

    def start(self) -> Arrays:
        """The arrays before the first step; a loaded table has WARM dense steps behind it."""
        program = cpu.program(self.rule, self.stages)
        p = (0.1 * np.random.default_rng(0).standard_normal((self.rows, self.width))).astype(self.real)
        state = {
            name: np.full(
                program.shape_of(name, p.shape),
                self.rule.start_of(name, self.scalars(1)),
                np.float64 if name in program.scalar_state else p.dtype,
            )
            for name in self.rule.state
        }
        arrays = {"p": p, **state} | ({"ema": p.copy()} if self.stages.ema else {})
        for t in range(self.age - WARM + 1, self.age + 1) if self.age else ():
            values = np.random.default_rng(t).standard_normal(p.shape).astype(p.dtype)
            arrays = dense_step(self, arrays, (np.arange(self.rows), values), t)
        return arrays

    def gradient(self, t: int) -> Gradient:
        """The gradient of step t: of a size between 1e-4 and 10."""
        rng = np.random.default_rng(t)
        n = rng.poisson(self.touches) if t % 7 else 0
        indices = (self.rows * rng.random(n) ** self.rarity).astype(np.int64)
        values = rng.standard_normal((n, self.width)) * 10.0 ** rng.integers(-4, 2)
        return indices, values.astype(self.real)

    def gradients(self) -> Iterator[tuple[int, Gradient]]:
        """Every step with its gradient."""
        for t in range(self.age + 1, self.age + 1 + self.steps):
            yield t, self.gradient(t)


class Driver:
    """A table and its arrays, which are stepped in place.

    Args:
        storage: the dtypes of p, of each state array, of the EMA, where they are not the work's own.
    """

    def __init__(
        self, work: Sparse, arrays: Arrays | None = None, threads: int = 1, storage: tuple[str, ...] | None = None
    ):
        self.work, self.threads, self.t = work, threads, work.age
        self.arrays = work.start() if arrays is None else arrays
        self.program = cpu.program(work.rule, work.stages)
        storage = storage or (work.dtype,) * (len(self.program.arrays) - 1)
        self.table = Table(work.rule, work.stages, work.mode, storage, work.rows, work.width)

    @property
    def addresses(self) -> list[int]:
        names = [name for name in (*self.program.arrays, *self.program.scalar_state) if name != "g"]
        return [address(self.arrays[name]) for name in names]

    def step(self, indices: np.ndarray, values: np.ndarray) -> None:
        """The next step, on a gradient in the work's precision."""
        self.t += 1
        values = np.ascontiguousarray(values)
        gradient = self.table.merged(indices, address(values), self.work.real, self.threads)
        numbers = self.work.scalars(self.t)
        clock = np.array([[self.t, *(float(self.arrays[s]) for s in self.program.scalar_state)]], np.float64)
        scalars = np.array([[numbers[name] for name in self.program.scalars]], np.float64)
        self.table.step(gradient, self.addresses, clock, scalars, self.threads)

    def catch_up(self, indices: np.ndarray) -> int:
        return self.table.catch_up(indices, self.addresses, self.threads)

    def flush(self) -> int:
        return self.table.flush(self.addresses, self.threads)


def dense_step(work: Sparse, arrays: Arrays, gradient: Gradient, t: int) -> Arrays:
    """New arrays from old ones: the eager engine on all rows, in the arrays' own dtype."""
    indices, values = gradient
    g = np.zeros_like(arrays["p"])
    np.add.at(g, indices, values.astype(g.dtype))
    numbers = cpu.program(work.rule, work.stages).scalar_state
    given = {name: float(x) if name in numbers else x for name, x in arrays.items()}
    with np.errstate(all="ignore"):
        new = eager.step(work.rule, {**given, "g": g}, {**work.scalars(t), "t": t}, work.stages)
    return {name: np.array(new[name], x.dtype) for name, x in arrays.items()}


def dense(work: Sparse, dtype: str | None = None) -> Arrays:
    """What the dense optimizer makes of the work, in its own dtype or in another."""
    arrays = {name: x.astype(dtype or x.dtype) for name, x in work.start().items()}
    for t, gradient in work.gradients():
        arrays = dense_step(work, arrays, gradient, t)
    return arrays


def stepped(work: Sparse, threads: int = 1) -> Driver:
    """The table after all steps; most of its rows are behind."""
    driver = Driver(work, threads=threads)
    for _, gradient in work.gradients():
        driver.step(*gradient)
    return driver


def sparse(work: Sparse, threads: int = 1) -> Driver:
    """The table after all steps, flushed."""
    driver = stepped(work, threads)
    driver.flush()
    return driver


def errors(found: Arrays, expected: Arrays) -> dict[str, float]:
    """The largest error in each array over its largest element; NaN where something is not a number."""
    assert found.keys() == expected.keys()
    result = {}
    for name, y in expected.items():
        x = np.asarray(found[name], np.float64)
        assert x.shape == y.shape
        assert np.isfinite(y).all(), f"{name} is not finite"
        result[name] = float(abs(x - y).max(initial=0.0) / (abs(y).max(initial=0.0) or 1.0))
    return result


def assert_close(found: Arrays, expected: Arrays, tolerance: float, where: object = "") -> None:
    """Equal to the tolerance, or an AssertionError that says where they part."""
    for name, error in errors(found, expected).items():
        assert error <= tolerance, f"{where}: error {error:.2g} in {name}"


def assert_exact(work: Sparse) -> Driver:
    """A table in exact mode ends where the dense optimizer of its dtype does.

    In float32 to the tolerance beside what rounding does to the dense one: that rounds at every step, and drifts from
    the reference where a gap is long or a step large, while a closed form rounds once.
    """
    driver, expected = sparse(work), dense(work)
    own = errors(expected, dense(work, "float64")) if work.dtype == "float32" else dict.fromkeys(expected, 0.0)
    for name, error in errors(driver.arrays, expected).items():
        assert error <= TOLERANCE[work.dtype] + own[name], f"{work}: error {error:.2g} in {name}"
    return driver


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as a table of this dtype has them: bfloat16 as its bits, rounded to nearest even."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    patterns = values.astype(np.float32).view(np.uint32)
    return ((patterns + (patterns >> 16 & 1) + 0x7FFF) >> 16).astype(np.uint16)


def widened(values: np.ndarray, dtype: str) -> np.ndarray:
    """Such numbers in single precision, or double where they are."""
    if dtype != "bfloat16":
        return values.astype("float64" if dtype == "float64" else "float32")
    return (values.astype(np.uint32) << 16).view(np.float32)


def bits(arrays: Arrays) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in arrays.items()}


@pytest.fixture
def unkept(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Kernels are printed anew, so that what a test changes about them shows."""
    monkeypatch.setattr(table, "books", ledger.books.__wrapped__)
    return monkeypatch


def in_pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pieces pool.run cut each work into, from now on."""
    counts: list[int] = []
    whole = pool.run

    def watched(work: Callable[[int, int], None], count: int, threads: int, grain: int) -> None:
        counts.append(-(-count // grain))
        whole(work, count, threads, grain)

    monkeypatch.setattr(pool, "run", watched)
    return counts


def alone(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Work of more than this size is shared among threads."""
    for module in (cpu, ledger, merge, rows):
        monkeypatch.setattr(module, "ALONE", size)
