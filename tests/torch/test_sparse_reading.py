"""Who reads a table in exact mode reads rows that have seen every step: layers, state dicts, copies, and by request."""

import copy
import gc
import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.nn.modules import module as torch_module
from torch.utils.checkpoint import checkpoint

import stepwell.torch as door
from tests.torch.harness import assert_same_state
from tests.torch.sparse import ROWS, WIDTH, Trained, assert_models_agree, double, error, flat, rows

TWO = ("Embedding", "EmbeddingBag of sums")


@pytest.fixture(autouse=True)
def in_double_precision() -> Iterator[None]:
    with double():
        yield


def adamw(net: Any, mode: str = "exact") -> door.AdamW:
    """Untouched rows move from the first step on: they decay."""
    return door.AdamW(net.parameters(), lr=0.02, weight_decay=0.5, sparse=mode)


def trained(steps: int = 20) -> Trained:
    return Trained(TWO, adamw).train(steps)


def tables_of(both: Trained) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(t.weight, d.weight) for t, d in zip(both.net.tables, both.dense.tables, strict=True)]  # pyright: ignore


def test_rows_are_behind_in_the_first_place() -> None:
    both = trained()
    assert all(error(p, q) > 1e-3 for p, q in tables_of(both))


@pytest.mark.parametrize("steps", [1, 20])
def test_a_models_state_dict_is_settled(steps: int) -> None:
    both = trained(steps)
    assert_models_agree(both.net, both.dense, 1e-12)
    assert_models_agree(both.train(5).net, both.dense, 1e-12)


def test_an_optimizers_state_dict_settles() -> None:
    both = trained()
    assert_same_state(both.mine, both.yours, "at first", 2.0)  # as far as shapes and names go
    both.mine.state_dict()
    assert_same_state(both.mine, both.yours, "settled")


def test_a_forward_in_eval_mode_settles_the_table() -> None:
    both = trained()
    both.net.eval()
    with torch.no_grad():
        both.net(both.batches())
    assert all(error(p, q) <= 1e-12 for p, q in tables_of(both))


def test_rows_given_by_keyword_settle_the_table() -> None:
    both = trained()
    read = both.net.tables[0](input=torch.tensor([50]))
    assert error(read, both.dense.tables[0](torch.tensor([50]))) <= 1e-12  # pyright: ignore


def test_only_the_rows_that_are_read_are_brought_up_to_date() -> None:
    both = trained()
    both.net.tables[0](torch.tensor([[50, 51]]))
    (p, q), _ = tables_of(both)
    late = (p - q).abs().amax(1) > 1e-6
    assert not late[[50, 51]].any()
    assert late.sum() > ROWS / 2


def test_a_run_that_is_resumed() -> None:
    both, file = trained(), io.BytesIO()
    torch.save([both.net.state_dict(), both.mine.state_dict()], file)
    file.seek(0)
    other = Trained(TWO, adamw)
    for x, packed in zip((other.net, other.mine), torch.load(file, weights_only=True), strict=True):
        x.load_state_dict(packed)
    other.dense, other.yours, other.steps = both.dense, both.yours, both.steps
    other.train(1)
    assert_models_agree(other.net, other.dense, 1e-12)
    other.train(20).assert_agree(1e-12)


def test_loaded_weights_are_not_moved_by_the_steps_before() -> None:
    both = trained()
    for net in (both.net, both.dense):
        torch.manual_seed(1)
        net.load_state_dict({name: torch.randn_like(x) for name, x in net.state_dict(keep_vars=True).items()})
    both.train(20).assert_agree(1e-12)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_are_settled_and_train_on(copied: Any) -> None:
    both = trained()
    both.mine.flush()  # for the copy of the network; torch asks nobody before it copies that
    both.net, both.mine = copied((both.net, both.mine))
    both.train(10)
    other = copied(both.mine)
    assert_same_state(both.mine, both.yours, "the original")
    assert_same_state(other, both.yours, "the copy")
    assert other.sparse == "exact"
    both.train(10).assert_agree(1e-12)


def test_a_new_optimizer_settles_what_the_last_one_left() -> None:
    both = trained()
    both.mine, both.yours = adamw(both.net), adamw(both.dense)
    assert all(error(p, q) <= 1e-12 for p, q in tables_of(both))
    both.train(20).assert_agree(1e-12)


@pytest.mark.parametrize("whole", [False, True], ids=["rows", "all rows"])
def test_who_reads_otherwise_asks_for_the_rows(whole: bool) -> None:
    tables = [torch.nn.Parameter(torch.linspace(-1, 1, ROWS * WIDTH).reshape(ROWS, WIDTH)) for _ in range(2)]
    mine, yours = (door.Adam([p], lr=0.05, weight_decay=0.1, sparse="exact") for p in tables)
    for step in range(30):
        read = rows(step)
        mine.catch_up(tables[0], None if whole else read)
        for k, (p, optimizer) in enumerate(zip(tables, (mine, yours), strict=True)):
            optimizer.zero_grad()
            (F.embedding(read, p, sparse=k == 0) - 0.5).square().mean().backward()
            optimizer.step()
    mine.flush()
    assert error(*tables) <= 1e-12


def elementwise(p: torch.Tensor) -> None:
    """What a hook on gradients may leave: one that names single numbers."""
    assert p.grad is not None
    p.grad = p.grad.to_dense().to_sparse()


def test_gradients_that_name_numbers_where_the_layer_reads_rows() -> None:
    both = Trained(TWO, adamw)
    for table in both.net.tables:
        table.weight.register_post_accumulate_grad_hook(elementwise)  # pyright: ignore
    both.train(20).assert_agree(1e-12)


def test_two_readings_in_one_graph() -> None:
    """The second brings rows up to date that the first has not read; what it saved for backward stays good."""
    both = Trained(("EmbeddingBag of weighted sums",), adamw)
    for step in range(20):
        weights = [torch.linspace(-1, 1, 18).requires_grad_() for _ in range(2)]
        for net, optimizer, w in zip((both.net, both.dense), (both.mine, both.yours), weights, strict=True):
            optimizer.zero_grad()
            first, second = (net.tables[0](*flat(step, k), w) for k in range(2))  # pyright: ignore
            (first * second).square().mean().backward()
            optimizer.step()
        assert error(weights[0].grad, weights[1].grad) <= 1e-12  # pyright: ignore
    both.mine.flush()
    assert all(error(p, q) <= 1e-12 for p, q in tables_of(both))


def test_a_forward_that_is_made_again_for_backward() -> None:
    both = trained()
    for _ in range(10):
        for net, optimizer in ((both.net, both.mine), (both.dense, both.yours)):
            optimizer.zero_grad()
            torch.as_tensor(checkpoint(net, both.batches(), use_reentrant=False)).square().mean().backward()
            optimizer.step()
        both.steps += 1
    both.assert_agree(1e-12)


@pytest.mark.filterwarnings("ignore:.*when there are global hooks on modules:UserWarning")
def test_a_compiled_model() -> None:
    torch.compiler.reset()
    both = Trained(TWO, adamw)
    plain, compiled = both.net, torch.compile(both.net, backend="eager")
    both.net = compiled  # pyright: ignore[reportAttributeAccessIssue]
    both.train(20)
    both.net = plain
    both.assert_agree(1e-12)
    torch.compiler.reset()


# --- the hook


def hooks() -> int:
    gc.collect()
    return len(torch_module._global_forward_pre_hooks)


def test_the_hook_lives_as_long_as_an_optimizer_in_exact_mode() -> None:
    assert hooks() == 0
    both = Trained(TWO, lambda net: adamw(net, "lazy")).train(3)
    assert hooks() == 0
    both.mine = adamw(both.net)
    assert hooks() == 1
    both.train(3)
    second = copy.deepcopy(both.mine)
    second.load_state_dict(both.mine.state_dict())
    assert hooks() == 1
    del both
    assert hooks() == 1
    del second
    assert hooks() == 0


def test_an_optimizer_that_goes_leaves_rows_that_have_seen_every_step() -> None:
    both = trained()
    del both.mine
    gc.collect()
    assert all(error(p, q) < 1e-12 for p, q in tables_of(both))


class Shifted(torch.nn.Embedding):
    """A layer that reads other rows than it is given."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward((input + 7) % ROWS)


@pytest.mark.parametrize("how", ["forward", "hook"])
def test_a_layer_that_changes_its_indices_reads_rows_that_have_seen_every_step(how: str) -> None:
    def made(sparse: bool) -> torch.nn.Embedding:
        torch.manual_seed(0)
        layer = (Shifted if how == "forward" else torch.nn.Embedding)(ROWS, WIDTH, sparse=sparse)
        if how == "hook":
            layer.register_forward_pre_hook(lambda _, inputs: ((inputs[0] + 7) % ROWS,))
        return layer

    mine, yours = made(True), made(False)
    pairs = [
        (mine, door.AdamW(mine.parameters(), lr=0.1, sparse="exact")),
        (yours, torch.optim.AdamW(yours.parameters(), lr=0.1)),
    ]
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        x = torch.randint(ROWS, (3,), generator=generator)
        for layer, optimizer in pairs:
            optimizer.zero_grad()
            (layer(x) - 1).square().sum().backward()
            optimizer.step()
    assert_models_agree(mine, yours, 1e-12)


def test_an_optimizer_that_has_loaded_a_state_leaves_rows_that_have_seen_every_step() -> None:
    both = trained(5)
    both.mine.load_state_dict(both.mine.state_dict())
    both.train(10)
    del both.mine
    gc.collect()
    assert all(error(p, q) < 1e-12 for p, q in tables_of(both))


def test_layers_keep_nothing_of_an_optimizer_that_is_gone() -> None:
    both = trained(2)
    layer = both.net.tables[0]
    assert layer._state_dict_pre_hooks
    del both.mine, both.yours
    gc.collect()
    assert not layer._state_dict_pre_hooks
    assert b"stepwell" not in pickle.dumps(layer)
