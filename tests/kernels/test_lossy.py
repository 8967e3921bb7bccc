"""Arrays kept in fewer bits: each number is one of its two neighbours there, the right one on average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.kernels.codes import SEGMENT, decode, encode
from stepwell.kernels.lossy import CODES, HALVES, SIGNED, STOCHASTIC, UNSIGNED
from stepwell.kernels.precision import storage
from stepwell.kernels.source import ADDRESSES, BLOCK
from stepwell.rule import Rule, rule, sqrt
from tests.kernels.harness import EVERY_STAGE, PLAIN, SURROUND, TOLERANCE, address

BY_ELEMENTS = [rule for rule in rules.algorithms.values() if not cpu.program(rule, PLAIN).by_rows]
SIZES = (0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, BLOCK - 1, BLOCK, BLOCK + 1, 100_003)
SMALL = (1, 700)


@dataclass
class Kept:
    """Tensors under a rule, each array kept in its own way; `arrays` and `beside` are what lies in memory."""

    kernel: cpu.Kernel
    storage: Mapping[str, str]
    arrays: list[dict[str, np.ndarray]]
    hyper: dict[str, float]
    t: int = 0

    @classmethod
    def of(
        cls, rule: Rule, stages: Stages, kinds: Sequence[str], numbers: Sequence[Mapping[str, np.ndarray]]
    ) -> "Kept":
        kernel = cpu.kernel(rule, stages, tuple(kinds))
        named = dict(zip(kernel.program.arrays, kinds, strict=True))
        hyper = rule.complete({h.name: 0.1 for h in rule.hyperparameters.values() if h.default is None}) | SURROUND[0]
        return cls(kernel, named, [_put(own, named) for own in numbers], hyper)

    def step(self, t: int | None = None, threads: int = 1) -> None:
        self.t = self.t + 1 if t is None else t
        program = self.kernel.program
        table = self.kernel.table([own["p"].size for own in self.arrays], [0] * len(self.arrays))
        pointers = (*program.arrays, *self.kernel.beside, *program.scalar_state)
        table[:, ADDRESSES:] = [[address(own[name]) for name in pointers] for own in self.arrays]
        clock = self.kernel.clock(len(self.arrays))
        clock[:, 0] = self.t
        clock[:, 1:] = [[float(own[name]) for name in program.scalar_state] for own in self.arrays]
        groups = np.array([[self.hyper[name] for name in program.scalars]])
        self.kernel.run(table, clock, groups, threads)

    def numbers(self, k: int, name: str) -> np.ndarray:
        own, kind = self.arrays[k], self.storage.get(name, "float64")
        if kind in CODES:
            return decode(own[name], own[f"{name}_exponents"], kind == SIGNED)
        if kind in ("bfloat16", STOCHASTIC):
            return _wide(own[name])
        if kind == HALVES:
            high, low = own[name].astype(np.int32) << 16, own[f"{name}_low"].astype(np.int32)
            return (high + low).view(np.float32)
        return own[name]


def _wide(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _put(numbers: Mapping[str, np.ndarray], kinds: Mapping[str, str]) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    for name, x in numbers.items():
        kind = kinds.get(name, "float64")
        if kind in CODES:
            made[name], made[f"{name}_exponents"] = encode(x, kind == SIGNED)
        elif kind in ("bfloat16", STOCHASTIC, HALVES):
            bits = x.astype(np.float32).view(np.uint32)
            made[name] = ((bits + 0x8000) >> 16).astype(np.uint16)
            if kind == HALVES:
                made[f"{name}_low"] = bits.astype(np.uint16).view(np.int16)
        else:
            made[name] = x.astype(kind)
    return made


def tensors(rule: Rule, stages: Stages, sizes: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Arrays of normal numbers over four decades; those that a root is taken of are positive."""
    program = cpu.program(rule, stages)
    made = []
    for k, n in enumerate(sizes):
        rng = np.random.default_rng(k)
        own = {
            name: (rng.standard_normal(n) * 10.0 ** rng.uniform(-4, 0, n)).astype(np.float32) for name in program.arrays
        }
        own |= {s: own[s] ** 2 for s in rule.state if s in own and s not in ("m", "a")}
        if "a" in own:
            own["a"] = (0.1 * own["a"]).astype(np.float32)
            own["s"] = own["s"] + own["a"] ** 2
        own |= {s: np.array(0.5) for s in program.scalar_state}
        made.append(own)
    return made


def whole(kept: Kept, rule: Rule, stages: Stages) -> Kept:
    """The same numbers, as they lie in `kept`, in float32."""
    numbers = [
        {name: kept.numbers(k, name).copy() for name in (*kept.storage, *kept.kernel.program.scalar_state)}
        for k in range(len(kept.arrays))
    ]
    return Kept.of(rule, stages, ["float32"] * len(kept.storage), numbers)


@pytest.mark.parametrize(
    ("rule", "state_dtype", "stages"),
    [pytest.param(rule, "8bit", PLAIN, id=f"{rule.name}-8bit") for rule in BY_ELEMENTS]
    + [
        pytest.param(rule, state_dtype, stages, id=f"{rule.name}-{state_dtype}-{name}")
        for rule in (rules.momentum, rules.amsgrad, rules.nadam, rules.rmsprop_centered_momentum)
        for state_dtype, stages, name in (
            ("bfloat16", PLAIN, "plain"),
            ("bfloat16", EVERY_STAGE, "all"),
            ("8bit", EVERY_STAGE, "all"),
        )
    ],
)
def test_a_step_is_that_of_the_numbers_kept_and_writes_their_neighbours(rule, state_dtype, stages):
    kinds = storage(rule, stages, "float32", state_dtype, "nearest")
    kept = Kept.of(rule, stages, kinds, tensors(rule, stages, SIZES))
    plain = whole(kept, rule, stages)
    kept.step(5, threads=2)
    plain.step(5)
    for k, n in enumerate(SIZES):
        for name, kind in kept.storage.items():
            found, exact = kept.numbers(k, name), plain.numbers(k, name)
            where = f"{name} of {n}"
            if kind == "float32":
                scale = max(1.0, abs(exact).max(initial=0.0))
                np.testing.assert_allclose(found, exact, rtol=0, atol=2 * TOLERANCE["float32"] * scale, err_msg=where)
            else:
                assert_neighbours(found, exact, kind, where)
        for name in kept.kernel.program.scalar_state:
            assert kept.arrays[k][name] == plain.arrays[k][name]


def assert_neighbours(found: np.ndarray, exact: np.ndarray, kind: str, where: str) -> None:
    """Each number found is the next one above or below the exact one that the kind of storage has."""
    digits = 7 if kind == STOCHASTIC else 3
    gap = 2.0 ** (np.floor(np.log2(np.maximum(abs(exact), 1e-38))) - digits)
    least = np.zeros_like(gap)
    if kind in CODES:
        least = np.repeat(least_of(exact, kind), SEGMENT)[: exact.size]
    off = abs(found.astype(np.float64) - exact)
    slack = 5e-7 * abs(exact).max(initial=0.0)  # two kernels of one formula round apart by as much
    assert (off <= np.maximum(gap, least) + slack).all(), f"{where}: {np.max(off / gap)} gaps off"
    assert (np.sign(found) * np.sign(exact) >= 0).all(), where


def least_of(exact: np.ndarray, kind: str) -> np.ndarray:
    """The least number above 0 that each segment can have."""
    padded = np.zeros(-(-exact.size // SEGMENT) * SEGMENT)
    padded[: exact.size] = abs(exact)
    largest = padded.reshape(-1, SEGMENT).max(axis=1, initial=0.0)
    with np.errstate(divide="ignore"):
        top = np.floor(np.log2(largest)).clip(-200).astype(int) + 1  # rounded up, it may reach the next factor of 2
    return np.ldexp(1.125, top - (15 if kind == SIGNED else 31))


@pytest.mark.parametrize("kind", [STOCHASTIC, SIGNED, UNSIGNED])
def test_rounding_is_right_on_average(kind):
    """Over many draws the mean is the exact number, to within five of its standard errors and a hundredth of a gap."""
    n, draws = 2 * SEGMENT, 4000
    rng = np.random.default_rng(3)
    g = (rng.standard_normal(n) * 10.0 ** rng.uniform(-2, 0, n)).astype(np.float32)
    g = np.where(abs(g) < 2.0**-10, np.float32(2.0**-10), g)  # what is below the least code has a test of its own
    g = abs(g) if kind == UNSIGNED else g
    kept = Kept.of(rules.momentum, PLAIN, ["float32", "float32", kind], [{"p": g, "g": g, "v": 0 * g}])
    kept.hyper |= {"beta": 0.0}  # the state becomes the gradient
    start = {name: x.copy() for name, x in kept.arrays[0].items()}
    total, squares = np.zeros(n), np.zeros(n)
    for t in range(1, draws + 1):
        for name, x in start.items():
            kept.arrays[0][name][...] = x
        kept.step(t)
        found = kept.numbers(0, "v").astype(np.float64)
        total += found
        squares += found**2
    mean = total / draws
    gap = 2.0 ** (np.floor(np.log2(abs(g))) - (7 if kind == STOCHASTIC else 3))
    error = np.sqrt(np.maximum(squares / draws - mean**2, 0) / draws)
    assert (abs(mean - g) <= 5 * error + 0.01 * gap).all()
    assert (squares / draws - mean**2 > 0.01 * gap**2).mean() > 0.8  # and it does vary


def test_small_numbers_of_a_segment_are_kept_on_average():
    """What is below the least code becomes it now and then, and 0 never becomes anything."""
    n = SEGMENT
    g = np.full(n, 2.0**-19, np.float32)
    g[0], g[1] = 1.0, 0.0
    kept = Kept.of(rules.momentum, PLAIN, ["float32", "float32", SIGNED], [{"p": g, "g": g, "v": 0 * g}])
    kept.hyper |= {"beta": 0.0}
    total = np.zeros(n)
    for t in range(1, 2001):
        kept.step(t)
        total += kept.numbers(0, "v")
    assert total[1] == 0
    np.testing.assert_allclose(total[2:].mean() / 2000, 2.0**-19, rtol=0.1)


@pytest.mark.parametrize("kind", [SIGNED, UNSIGNED, STOCHASTIC])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(kind, odd):
    g = np.ones(700, np.float32)
    g[3] = odd
    zero = np.zeros_like(g)
    kept = Kept.of(rules.momentum, PLAIN, ["float32", "float32", kind], [{"p": zero, "g": g, "v": zero}])
    kept.step()
    np.testing.assert_equal(kept.numbers(0, "v")[3], np.float32(odd))
    assert np.isfinite(np.delete(kept.numbers(0, "v"), 3)).all()


def test_zeros_stay_zeros():
    nothing = np.zeros(700, np.float32)
    for kind in (SIGNED, UNSIGNED, STOCHASTIC):
        kept = Kept.of(rules.momentum, PLAIN, ["float32", "float32", kind], [dict.fromkeys("pgv", nothing)])
        for _ in range(20):
            kept.step()
        assert not kept.numbers(0, "v").any()


@pytest.mark.parametrize("kinds", [(SIGNED, UNSIGNED), (STOCHASTIC, STOCHASTIC)], ids=["8bit", "bfloat16"])
def test_threads_change_nothing(kinds):
    given = tensors(rules.adam, PLAIN, [3_000_001, 5])
    one, three = (Kept.of(rules.adam, PLAIN, ["float32", "float32", *kinds], given) for _ in range(2))
    for _ in range(3):
        one.step(threads=1)
        three.step(threads=3)
    for k in range(2):
        for name, x in one.arrays[k].items():
            np.testing.assert_array_equal(x, three.arrays[k][name])


@pytest.mark.parametrize("stages", [PLAIN, EVERY_STAGE], ids=["plain", "all"])
def test_the_two_halves_of_a_weight_are_the_float32_weight_bit_for_bit(stages):
    given = tensors(rules.adam, stages, [5, 20_000])
    state = ["float32"] * (2 + stages.ema)
    halves = Kept.of(rules.adam, stages, [HALVES, "bfloat16", *state], given)
    whole = Kept.of(rules.adam, stages, ["float32", "bfloat16", *state], given)
    for step in range(20):
        for k, own in enumerate(tensors(rules.adam, stages, [5, 20_000])):
            bits = (own["g"] * 1.5**step).astype(np.float32).view(np.uint32)
            for side in (halves, whole):
                side.arrays[k]["g"][...] = (bits >> 16).astype(np.uint16)
        halves.step()
        whole.step()
        for k in range(2):
            np.testing.assert_array_equal(halves.numbers(k, "p"), whole.numbers(k, "p"))
            read, exact = _wide(halves.arrays[k]["p"]), whole.numbers(k, "p")
            assert (abs(read - exact) <= 2.0**-8 * abs(exact)).all()  # what others read is the nearest bfloat16


@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 3 * SEGMENT))
def test_codes_come_back_as_they_were(seed, signed, size):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(size) * 10.0 ** rng.uniform(-12, 12, size)).astype(np.float32)
    codes, exponents = encode(x if signed else abs(x), signed)
    numbers = decode(codes, exponents, signed)
    again, same = encode(numbers, signed)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(same, exponents)
    bits = numbers.view(np.uint32)
    assert not (bits & 0xFFFF).any()  # bfloat16 has them exactly


def test_encoding_is_to_the_nearest_code():
    codes = np.arange(8, 256, dtype=np.uint8)  # over all of a segment's range, whose largest is its last
    numbers = decode(codes, np.array([100], np.uint8), signed=False)
    assert (np.diff(numbers) > 0).all()
    middles = (numbers[:-1] + numbers[1:]) / 2
    for shift, expected in ((0.999, codes[:-1]), (1.001, codes[1:])):
        near = np.append(numbers[:-1] + (middles - numbers[:-1]) * np.float32(shift), numbers[-1])
        np.testing.assert_array_equal(encode(near.astype(np.float32), False)[0][:-1], expected)


def test_a_root_of_a_difference_keeps_its_states_whole():
    @rule
    def spread(g, s, a, v, *, lr=0.1):
        s = 0.9 * s + 0.1 * g**2
        a = 0.9 * a + 0.1 * g
        v = 0.9 * v + g
        return lr * v / sqrt(s - a**2 + 1e-6), s, a, v

    kinds = dict(
        zip(cpu.program(spread, PLAIN).arrays, storage(spread, PLAIN, "float32", "8bit", "nearest"), strict=True)
    )
    assert kinds == {"p": "float32", "g": "float32", "s": "float32", "a": "float32", "v": SIGNED}
