"""The comparisons of sparse gradients are worth something: each mistake that somebody makes fails one of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from stepwell.kernels import ledger, table
from stepwell.kernels.merge import Merged
from stepwell.torch import reading, rows
from tests.torch import test_sparse_exact as exact
from tests.torch import test_sparse_lazy as lazy
from tests.torch import test_sparse_reading as of_reading
from tests.torch import test_sparse_whole_step as whole_step
from tests.torch.sparse import double

Patch = Callable[[pytest.MonkeyPatch], None]


def the_last_of_equal_indices_wins(patch: pytest.MonkeyPatch) -> None:
    merged = table.merge

    def merge(indices: np.ndarray, values: int, dtype: str, width: int, *rest: Any) -> Merged:
        right = merged(indices, values, dtype, width, *rest)
        last = {row: k for k, row in enumerate(indices.tolist())}
        kept = [
            merged(indices[k : k + 1], values + 8 * k * width, dtype, width, *rest).gradients[0]
            for k in (last[row] for row in right.rows.tolist())
        ]
        return Merged(right.rows, np.array(kept).reshape(right.gradients.shape))

    patch.setattr(table, "merge", merge)


def every_row_counts_its_own_steps(patch: pytest.MonkeyPatch) -> None:
    right = table.Table.step

    def step(self: Any, gradient: Merged, addresses: Any, clock: np.ndarray, *rest: Any) -> None:
        counts = vars(self).setdefault("counts", np.zeros(self.count))
        counts[gradient.rows] += 1
        for k, row in enumerate(gradient.rows):
            one = Merged(gradient.rows[k : k + 1], gradient.gradients[k : k + 1])
            right(self, one, addresses, np.array([[counts[row], *clock[0, 1:]]]), *rest)

    patch.setattr(table.Table, "step", step)


def a_gradient_without_rows_is_no_step(patch: pytest.MonkeyPatch) -> None:
    right = rows.Rows.run
    has_rows: Any = lambda self: self.gradient is not None and self.gradient.rows.size  # noqa: E731
    patch.setattr(rows.Rows, "run", lambda self, *rest: has_rows(self) and right(self, *rest))


def clipping_counts_every_value_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows.Rows, "sum_of_squares", lambda self, _: float(self.p.grad._values().square().sum()))


def layers_read_what_is_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "watch", lambda *_: None)


def state_dicts_have_what_is_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "_settle", lambda *_: None)


def missed_steps_stay_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger.Ledger, "_settle", lambda *_: None)


def rows_of_today_are_taken_for_settled(patch: pytest.MonkeyPatch) -> None:
    """The step is written down before the rows that it touches are brought up to date."""
    right = ledger.Ledger.catch_up

    def catch_up(self: Any, at: np.ndarray, indices: np.ndarray, threads: int) -> int:
        self.last[indices] = self.step
        return right(self, at, indices, threads)

    patch.setattr(ledger.Ledger, "catch_up", catch_up)


def sparse_adam() -> None:
    lazy.pair("SparseAdam", {}).train(lazy.STEPS)


def clipped() -> None:
    whole_step.test_clip_norm_counts_merged_rows(strided=False, limit=1.0)


def adam_in_exact_mode() -> None:
    with double():
        exact.trained("Adam", {"lr": 0.02}).train(exact.STEPS).assert_agree(1e-12)


def settled_state_dict() -> None:
    with double():
        of_reading.test_a_models_state_dict_is_settled(steps=20)


MUTANTS: list[tuple[Patch, Callable[[], None]]] = [
    (the_last_of_equal_indices_wins, sparse_adam),
    (every_row_counts_its_own_steps, sparse_adam),
    (a_gradient_without_rows_is_no_step, sparse_adam),
    (clipping_counts_every_value_alone, clipped),
    (layers_read_what_is_there, adam_in_exact_mode),
    (missed_steps_stay_missed, adam_in_exact_mode),
    (rows_of_today_are_taken_for_settled, adam_in_exact_mode),
    (state_dicts_have_what_is_there, settled_state_dict),
]


@pytest.mark.parametrize(("mutant", "comparison"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
def test_a_mistake_is_noticed(mutant: Patch, comparison: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    comparison()
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        comparison()


def test_the_comparison_tells_where() -> None:
    with double():
        both = exact.trained("Adam", {"lr": 0.02}).train(3)
        both.net.tables[0].weight.data[1] += 1e-9  # pyright: ignore
        with pytest.raises(AssertionError, match=r"tables\.0\.weight: \d"):
            both.assert_agree(1e-12)
    assert not torch.equal(*both.net.tables[0].weight[:2])  # pyright: ignore
