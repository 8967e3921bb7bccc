"""What sparse gradients are refused: a clear error, and not a bit of any parameter or state has changed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import stepwell.torch as door
from tests.torch.harness import parameters
from tests.torch.sparse import assert_unchanged, coo, gradient, written

ROWS, WIDTH = 9, 4
MODES = pytest.mark.parametrize("mode", ["lazy", "exact"])
STEPS = pytest.mark.parametrize("steps", [0, 1, 6])  # before any plan, with a new one, and in its stride


class Training:
    """A dense parameter, a table, a dense one and a table; the last is spoilt, after some steps."""

    def __init__(self, steps: int, mode: str, name: str = "Adam", strided: bool = False, **options: Any):
        self.ps = parameters([(6,), (5, 3), (3, 2), (ROWS, WIDTH)], torch.float32)
        if strided:
            self.ps[3] = self.ps[3].detach().t().contiguous().t().requires_grad_()
        self.table = self.ps[3]
        self.table.grad_dtype = None  # pyright: ignore[reportAttributeAccessIssue]
        self.optimizer: Any = getattr(door, name)(
            [{"params": self.ps[:2]}, {"params": self.ps[2:]}], lr=0.1, weight_decay=0.1, sparse=mode, **options
        )
        for step in range(steps):
            self.give(step)
            self.optimizer.step()

    def give(self, step: int) -> None:
        """Gradients that are all right."""
        for k, p in enumerate(self.ps):
            g = gradient(p.shape, p.dtype, step % 4, k)
            p.grad = g.to_dense() if k in (0, 2) else g

    def refused(self, error: type[Exception], said: str, what: Callable[[], Any] | None = None) -> None:
        """A step, or what else is done, fails in these words and leaves all as it was; then all goes on."""
        before = written(self.optimizer)
        with pytest.raises(error) as caught:
            (what or self.optimizer.step)()
        assert said in str(caught.value)
        assert_unchanged(self.optimizer, before)

    def goes_on(self) -> None:
        """The next step is made, and moves every parameter."""
        self.give(2)
        before = [p.detach().clone() for p in self.ps]
        self.optimizer.step()
        self.optimizer.flush()
        assert not any(map(torch.equal, self.ps, before))


# --- indices


def row(index: int) -> Tensor:
    return coo([[1, 3, index]], torch.ones(3, WIDTH), (ROWS, WIDTH), check=False)


def element(i: int, j: int) -> Tensor:
    return coo([[1, i], [1, j]], torch.ones(2), (ROWS, WIDTH), check=False)


OUTSIDE: dict[str, tuple[Tensor, int]] = {
    "one row too far": (row(ROWS), ROWS),
    "far out": (row(2**62), 2**62),
    "negative": (row(-1), -1),
    "an element's row": (element(ROWS, 0), ROWS),
    "an element's column": (element(0, WIDTH), WIDTH),
    "an element's negative column": (element(1, -1), -1),
}


@STEPS
@MODES
@pytest.mark.parametrize("name", ["Adam", "SGD", "AdagradRowwise"])
@pytest.mark.parametrize("strided", [False, True], ids=["kernel", "no kernel"])
@pytest.mark.parametrize("case", OUTSIDE)
def test_an_index_that_the_table_does_not_have(case: str, strided: bool, name: str, mode: str, steps: int) -> None:
    training = Training(steps, mode, name, strided)
    training.give(0)
    training.table.grad, found = OUTSIDE[case][0].clone(), OUTSIDE[case][1]
    training.refused(IndexError, f"got {found}")
    with pytest.raises(IndexError, match=r"^indices\[.*2\] .* from 0 to 8|^indices\[[01], 1\] .* from 0 to [83]"):
        training.optimizer.step()
    training.goes_on()


@MODES
def test_no_rows_and_one_row_again_and_again_are_all_right(mode: str) -> None:
    training = Training(3, mode)
    for count in (0, 50):
        training.give(0)
        training.table.grad = coo(torch.full((1, count), 2), torch.ones(count, WIDTH), (ROWS, WIDTH))
        training.optimizer.step()
    assert training.optimizer.state[training.table]["step"] == 5
    training.goes_on()


# --- shapes and dtypes


@STEPS
@MODES
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64, torch.int64], ids=str)
def test_a_gradient_of_another_dtype(dtype: torch.dtype, mode: str, steps: int) -> None:
    training = Training(steps, mode)
    training.give(0)
    training.table.grad = coo([[1]], torch.ones(1, WIDTH, dtype=dtype), (ROWS, WIDTH))
    training.refused(TypeError, f"a gradient has dtype {dtype}; its parameter has torch.float32")
    training.goes_on()


def same_gradient_again(training: Training) -> None:
    """Steps on one and the same gradient, which is held by then; nothing is behind."""
    training.give(0)
    for _ in range(6):
        training.optimizer.step()
    training.optimizer.flush()


@MODES
@pytest.mark.parametrize("rows", [ROWS - 1, 2 * ROWS])
def test_a_table_of_another_size_than_its_gradient(rows: int, mode: str) -> None:
    training = Training(3, mode)
    same_gradient_again(training)
    training.table.data = torch.zeros(rows, WIDTH)
    training.refused(ValueError, f"a gradient has shape ({ROWS}, {WIDTH}); its parameter has ({rows}, {WIDTH})")


@MODES
def test_a_table_of_another_dtype(mode: str) -> None:
    """As `model.double()` makes it."""
    training = Training(6, mode)
    training.optimizer.flush()
    p, state = training.table, training.optimizer.state[training.table]
    q = p.detach().double().requires_grad_()
    other = door.Adam([q], lr=0.1, weight_decay=0.1, sparse=mode)
    other.state[q] = {name: x.double() if x.dim() else x.clone() for name, x in state.items()}
    training.optimizer.zero_grad()
    p.data = p.data.double()
    for step in range(3):
        p.grad, q.grad = (gradient(x.shape, torch.float64, step) for x in (p, q))
        training.optimizer.step()
        other.step()
    training.optimizer.flush()
    other.flush()
    assert torch.equal(p, q)


@MODES
@pytest.mark.parametrize("held", [False, True], ids=["new gradients", "held gradients"])
def test_a_table_or_state_in_another_order_is_followed(held: bool, mode: str) -> None:
    """Assigned to `.data` when nothing is behind."""
    one, other = Training(3, mode), Training(3, mode)
    for training in (one, other):
        same_gradient_again(training)
    other.table.data = other.table.data.t().contiguous().t()
    moment = other.optimizer.state[other.table]["exp_avg"]
    moment.data = moment.data.clone()
    for training in (one, other):
        for step in range(3):
            if not held:
                training.give(step)
            training.optimizer.step()
        training.optimizer.flush()
    torch.testing.assert_close(one.table, other.table, rtol=0, atol=1e-6)


def test_a_table_of_more_rows_needs_new_state() -> None:
    training = Training(3, "lazy")
    training.table.grad = None
    training.table.data = torch.zeros(2 * ROWS, WIDTH)
    training.table.grad = coo([[17]], torch.ones(1, WIDTH), (2 * ROWS, WIDTH))
    training.refused(ValueError, "A parameter that changes its shape needs new state (delete optimizer.state[p])")
    del training.optimizer.state[training.table]
    training.optimizer.step()
    assert training.table[17, 0] < 0


# --- a table or its state replaced while rows are behind


def replaced(training: Training) -> None:
    training.table.data = training.table.data.clone()


def resized(training: Training) -> None:
    training.table.data = torch.zeros(2 * ROWS, WIDTH)
    training.table.grad = coo([[17]], torch.ones(1, WIDTH), (2 * ROWS, WIDTH))


def other_state(training: Training) -> None:
    entry = training.optimizer.state[training.table]
    entry["exp_avg"] = entry["exp_avg"].clone()


def other_memory_of_state(training: Training) -> None:
    entry = training.optimizer.state[training.table]
    entry["exp_avg"].data = entry["exp_avg"].data.clone()


def no_state(training: Training) -> None:
    training.optimizer.state[training.table]["exp_avg"] = torch.zeros(ROWS, WIDTH)


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("how", [replaced, resized, other_state, other_memory_of_state, no_state])
def test_what_is_replaced_while_rows_are_behind(how: Callable[[Training], None], steps: int) -> None:
    training = Training(steps, "exact")
    training.give(0)
    how(training)
    error, said = RuntimeError, "call the optimizer's flush() before replacing it"
    training.refused(ValueError if how is resized else error, "needs new state" if how is resized else said)
    if how in (replaced, other_memory_of_state):
        training.refused(error, said, training.optimizer.flush)


@pytest.mark.parametrize("how", [replaced, other_state, other_memory_of_state, no_state])
def test_what_is_replaced_after_a_flush(how: Callable[[Training], None]) -> None:
    training = Training(6, "exact")
    training.optimizer.flush()
    how(training)
    training.goes_on()


# --- catch_up


def test_catch_up_of_a_tensor_that_is_not_the_optimizers() -> None:
    training = Training(3, "exact")
    foreign = torch.zeros(2, 7)
    training.refused(
        KeyError,
        "param must be a parameter of this optimizer; got a tensor of shape (2, 7)",
        lambda: training.optimizer.catch_up(foreign, [0]),
    )


@MODES
@STEPS
@pytest.mark.parametrize("indices", [torch.ones(2), [0.5], torch.tensor([True]), torch.ones(1, dtype=torch.uint8)])
def test_catch_up_of_rows_that_are_no_integers(indices: Any, steps: int, mode: str) -> None:
    training = Training(steps, mode)
    for p in training.ps:
        training.refused(
            TypeError, "indices must be int32 or int64; got ", lambda p=p: training.optimizer.catch_up(p, indices)
        )


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("bad", [-1, ROWS, 2**40])
def test_catch_up_of_rows_that_are_not_there(bad: int, settled: bool) -> None:
    training = Training(3, "exact")
    if settled:
        training.optimizer.flush()
    training.refused(
        IndexError,
        f"indices[2] must be a row of the table, from 0 to {ROWS - 1}; got {bad}",
        lambda: training.optimizer.catch_up(training.table, torch.tensor([[0, 3], [bad, 1]])),
    )
    training.goes_on()
