"""Equal indices become one row: in the order of first appearance, their values added in the order of positions."""

import numpy as np
import pytest

from stepwell.kernels import merge as module
from stepwell.kernels.merge import INDICES, LINE, Merged, Scratch, merge
from tests.kernels.harness import address
from tests.kernels.sparse import alone, in_pieces, stored, widened

KINDS = [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")]
WIDTHS = (1, 2, 15, 16, 17, 32, 33, 100, 1024)
ROWS = 1 << 40  # far more than memory holds: what merging costs is the gradient's size, not the table's

each_kind = pytest.mark.parametrize(("dtype", "real"), KINDS, ids=lambda x: x)


def values_of(n: int, width: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Numbers whose sums depend on their order, as they are stored."""
    rng = np.random.default_rng(seed)
    return stored(rng.standard_normal((n, width)) * 10.0 ** rng.integers(-3, 3, (n, 1)), dtype)


def longhand(indices: np.ndarray, values: np.ndarray, dtype: str, real: str) -> Merged:
    """One position after the other."""
    sums: dict[int, np.ndarray] = {}
    for index, value in zip(indices.tolist(), widened(values, dtype).astype(real), strict=True):
        sums[index] = sums[index] + value if index in sums else value
    return Merged(np.array(list(sums), np.int64), np.array(list(sums.values()), real).reshape(-1, values.shape[1]))


def merged(
    indices: np.ndarray, values: np.ndarray, dtype: str, real: str, limit: int = ROWS, threads: int = 1
) -> Merged:
    return merge(indices, address(values), dtype, values.shape[1], limit, threads, real)


def assert_is(found: Merged, expected: Merged) -> None:
    """To the last bit."""
    assert found.rows.dtype == np.int64
    assert found.gradients.dtype == expected.gradients.dtype
    np.testing.assert_array_equal(found.rows, expected.rows)
    assert found.gradients.shape == expected.gradients.shape
    assert found.gradients.tobytes() == expected.gradients.tobytes()


def check(indices: np.ndarray, width: int, dtype: str, real: str) -> None:
    values = values_of(len(indices), width, dtype)
    assert_is(merged(indices, values, dtype, real), longhand(indices, values, dtype, real))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("index", INDICES)
@each_kind
def test_sums_are_made_position_by_position(index, dtype, real, width):
    check(np.random.default_rng(width).integers(0, 20, 100).astype(index), width, dtype, real)


def test_the_order_of_sums_shows():
    """The comparison above would notice another order."""
    indices, values = np.zeros(100, np.int64), values_of(100, 5, "float32")
    forth, back = (longhand(indices, x, "float32", "float32").gradients for x in (values, values[::-1]))
    assert (forth != back).any()


@pytest.mark.parametrize(
    "indices",
    [[], [7], [7] * 50, range(50), range(49, -1, -1), [3, 1, 3, 2, 1, 0, 2], [0, 0, 1, 1, 0]],
    ids=["none", "one", "one row", "all distinct", "falling", "mixed", "the first twice"],
)
@pytest.mark.parametrize("index", INDICES)
@each_kind
def test_few_and_many(index, dtype, real, indices):
    check(np.array(indices, index), 17, dtype, real)


def test_a_row_of_no_numbers():
    found = merged(np.array([2, 1, 2]), np.zeros((3, 0), np.float32), "float32", "float32")
    np.testing.assert_array_equal(found.rows, [2, 1])
    assert found.gradients.shape == (2, 0)


def powers_of_two(k: int) -> np.ndarray:
    """Multiples of 2ᵏ: equal in their low bits."""
    return (np.arange(500) << k) % ROWS


def rows_of_place(place: int, places: int, n: int) -> np.ndarray:
    """Different rows that all want the same place among so many."""
    rows = np.arange(1 << 16, dtype=np.uint64)
    product = rows * np.uint64(0x9E3779B97F4A7C15)  # what `number` multiplies by
    return rows[product >> np.uint64(65 - places.bit_length()) == place][:n].astype(np.int64)


@pytest.mark.parametrize("k", [0, 1, 6, 10, 16, 20, 31, 32, 39])
def test_multiples_of_a_power_of_two(k):
    rows = powers_of_two(k)
    check(np.random.default_rng(k).permutation(np.concatenate([rows, rows])), 3, "float32", "float32")


@pytest.mark.parametrize("place", [0, 63, 127])
def test_rows_that_want_the_same_place(place):
    """Half of all places are filled from there; after the last comes the first."""
    rows = rows_of_place(place, places=128, n=64)
    assert len(set(rows.tolist())) == 64
    check(rows, 3, "float32", "float32")
    check(np.concatenate([rows[:32], rows[31::-1]]), 3, "float32", "float32")


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("limit", [1, 2**31 - 1])
def test_the_first_and_the_last_row(index, limit):
    indices = np.array([0, limit - 1, 0], index)
    values = values_of(3, 2, "float32")
    assert_is(merged(indices, values, "float32", "float32", limit), longhand(indices, values, "float32", "float32"))


@pytest.mark.parametrize(
    ("indices", "position", "limit"),
    [([-1], 0, 10), ([0, 10], 1, 10), ([1, 2, 3, -7, 11], 3, 10), ([2, 1, 1], 0, 2), ([0] * 99 + [1 << 30], 99, 10)],
    ids=str,
)
@pytest.mark.parametrize("index", INDICES)
def test_an_index_outside_the_table(index, indices, position, limit):
    said = rf"indices\[{position}\] must be a row of the table, from 0 to {limit - 1}; got {indices[position]}$"
    with pytest.raises(IndexError, match=said):
        merged(np.array(indices, index), np.zeros((len(indices), 3), np.float32), "float32", "float32", limit)


def test_the_smallest_and_largest_integers_are_outside():
    for index in (-(2**63), 2**63 - 1):
        with pytest.raises(IndexError, match=f"got {index}$"):
            merged(np.array([index]), np.zeros((1, 1), np.float32), "float32", "float32")


@pytest.mark.parametrize("width", [LINE - 1, LINE, LINE + 1, 2 * LINE, 100, 1024])
@each_kind
def test_on_one_two_and_three_threads(dtype, real, width, monkeypatch):
    alone(monkeypatch, 1000)
    pieces = in_pieces(monkeypatch)
    indices = np.random.default_rng(0).integers(0, 30, 2000)
    values = values_of(2000, width, dtype)
    first = merged(indices, values, dtype, real)
    assert not pieces
    assert_is(first, longhand(indices, values, dtype, real))
    for threads in (2, 3):
        assert_is(merged(indices, values, dtype, real, threads=threads), first)
    assert (max(pieces) > 1) == (width > LINE)


def test_small_work_stays_on_the_calling_thread(monkeypatch):
    pieces = in_pieces(monkeypatch)
    merged(np.zeros(100, np.int64), values_of(100, 1024, "float32"), "float32", "float32", threads=3)
    assert module.ALONE > 100 * 1024
    assert not pieces


def test_values_are_not_changed():
    indices, values = np.array([1, 1, 0]), values_of(3, 20, "float32")
    before = indices.copy(), values.copy()
    merged(indices, values, "float32", "float32")
    np.testing.assert_array_equal(indices, before[0])
    np.testing.assert_array_equal(values, before[1])


def test_what_is_not_finite_stays_in_its_column():
    values = values_of(4, 20, "float32")
    values[0, 3], values[1, 7], values[2, 7] = np.nan, np.inf, -np.inf
    found = merged(np.array([1, 5, 5, 1]), values, "float32", "float32")
    np.testing.assert_array_equal(np.argwhere(np.isnan(found.gradients)), [[0, 3], [1, 7]])
    assert np.isfinite(np.delete(found.gradients, (3, 7), axis=1)).all()


def test_memory_that_is_used_again():
    """Larger and smaller gradients one after the other, and what a greater one left behind is not seen."""
    scratch = Scratch()
    for seed, n in enumerate((50, 3, 0, 400, 1, 60)):
        for dtype, real in KINDS:
            indices, values = np.random.default_rng(seed).integers(0, 40, n), values_of(n, 17, dtype, seed)
            found = merge(indices, address(values), dtype, 17, ROWS, 1, real, scratch)
            assert_is(found, longhand(indices, values, dtype, real))


def test_memory_is_used_again_but_not_kept_for_ever():
    scratch = Scratch()
    first = scratch.room("sums", 3 << 20, "float32")
    assert address(scratch.room("sums", 1 << 20, "float32")) == address(first)
    assert address(scratch.room("rows", 1 << 20, "int64")) != address(first)
    small = scratch.room("sums", 10, "float32")
    assert small.base is not None
    assert small.base.size < 1 << 20
    assert scratch.room("sums", 10, "float64").dtype == np.float64
