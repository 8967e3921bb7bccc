"""Saving and loading by name: which names, which axes, what the user keeps beside, what is refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stepwell.numpy as door
import stepwell.torch
from stepwell import checkpoint, rules, schedules
from stepwell.checkpoint import CheckpointError, reader
from stepwell.rule import Rate, rule
from tests.checkpoint.things import frozen, halfway, linear, train


def refused(path: Path, words: str, optimizer: Any, params: Any = None, **options: Any) -> None:
    """Loading says so, and changes nothing."""
    before = frozen(optimizer)
    with pytest.raises(CheckpointError, match=rf"(?s){words}.*; nothing was changed$"):
        checkpoint.load(path, optimizer, params, **options)
    assert frozen(optimizer) == before


def test_hyperparameters_and_steps_are_taken_over(tmp_path: Path) -> None:
    optimizer = halfway(lr=0.3, beta1=0.5)
    checkpoint.save(tmp_path / "file", optimizer)
    again = halfway(seed=1, lr=7.0)
    assert checkpoint.load(tmp_path / "file", again) == {}
    assert frozen(again) == frozen(optimizer)


def test_a_schedule_goes_on(tmp_path: Path) -> None:
    rate = schedules.cosine(10)
    checkpoint.save(tmp_path / "file", halfway(lr=rate))
    again = halfway(seed=1, lr=rate)
    again.updates = 0
    checkpoint.load(tmp_path / "file", again)
    again.step({"w": np.ones((4, 3)), "b": None, "late": None})
    assert again.hyper["lr"] == rate(2)
    plain = halfway(lr=0.25)
    checkpoint.load(tmp_path / "file", plain)
    assert plain.hyper["lr"] == 0.25


def test_extra_comes_back(tmp_path: Path) -> None:
    extra = {"epoch": 3, "losses": [0.5, 1e-300], "note": "é\n", "best": None, "seeds": {"a": 2**70}}
    checkpoint.save(tmp_path / "file", halfway(), extra=extra)
    assert checkpoint.load(tmp_path / "file", halfway()) == extra


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([1], "got list"),
        ({1: 2}, "would come back as"),
        ({"betas": (0.9, 0.99)}, "would come back as"),
        ({"best": float("inf")}, "Out of range float values"),
        ({"w": np.ones(3)}, "ndarray is not JSON serializable"),
    ],
)
def test_extra_that_would_not_come_back(extra: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"extra must be a dict of what JSON has .*{words}"):
        checkpoint.save(tmp_path / "file", halfway(), extra=extra)
    assert not (tmp_path / "file").exists()


def test_averages_are_kept(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "file", halfway(ema=0.9))
    again = halfway(seed=1, ema=0.5)
    checkpoint.load(tmp_path / "file", again)
    for name in ("w", "b"):
        assert np.array_equal(again.state[name]["ema"], halfway(ema=0.9).state[name]["ema"])
    assert again.options.ema == 0.5
    refused(tmp_path / "file", "parameter 'w': state 'ema' is not the optimizer's, which has 'm', 'v'", halfway(seed=1))
    checkpoint.save(tmp_path / "file", halfway())
    refused(tmp_path / "file", "parameter 'w': state 'ema' is missing; it has 'm', 'v'", halfway(seed=1, ema=0.5))


def test_names_missing_or_extra(tmp_path: Path) -> None:
    one, two = door.Adam({"a": np.ones(1)}), door.Adam({"a": np.ones(1), "b": np.ones(2)})
    checkpoint.save(tmp_path / "file", one)
    refused(tmp_path / "file", "parameter 'b' is missing; it has 'a'", two)
    checkpoint.save(tmp_path / "file", two)
    refused(tmp_path / "file", "parameter 'b' is not the optimizer's, which has 'a'", one)
    many = door.Adam({f"w{k}": np.ones(1) for k in range(20)})
    refused(tmp_path / "file", "parameter 'w0', 'w1', 'w2', 'w3' and 16 more is missing", many)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"a": np.ones((2, 3))}, r"parameter 'a': it has shape \(3, 2\); the optimizer's has \(2, 3\)"),
        ({"a": np.ones((3, 2), "f4")}, "parameter 'a': it has dtype float64; the optimizer's has float32"),
    ],
)
def test_shapes_and_dtypes(params: Any, words: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "file", door.Adam({"a": np.ones((3, 2))}))
    refused(tmp_path / "file", words, door.Adam(params))


def test_another_rule_says_what_to_do(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "file", door.from_rule(rules.adam_eps_hat)({"a": np.ones(3)}))
    words = r"parameter 'a': its rule is adam_eps_hat; this optimizer's is adam \(from_rule"
    refused(tmp_path / "file", words, door.Adam({"a": np.ones(3)}))


def test_ones_own_rule_of_another_formula_is_refused(tmp_path: Path) -> None:
    def mine(factor: float) -> Any:
        @rule
        def mine(g, v, *, lr: Rate = 0.1):
            v = factor * v + g
            return lr * v, v

        return door.from_rule(mine)

    checkpoint.save(tmp_path / "file", mine(0.5)({"a": np.ones(3)}))
    checkpoint.load(tmp_path / "file", mine(0.5)({"a": np.ones(3)}))
    refused(tmp_path / "file", "its rule mine has another formula", mine(0.25)({"a": np.ones(3)}))


def test_one_set_of_hyperparameters_cannot_be_two(tmp_path: Path) -> None:
    model = linear()
    groups = [{"params": [p], "lr": 0.1 * k} for k, p in enumerate(model.parameters())]
    checkpoint.save(tmp_path / "file", stepwell.torch.Adam(groups), model)
    arrays = {name: np.zeros(p.shape, "f4") for name, p in model.named_parameters()}
    refused(tmp_path / "file", "share their options in this optimizer, and have others in the file", door.Adam(arrays))


TURNED = {"kernel": ("0.weight", (1, 0)), "bias": "0.bias"}


def test_names_and_orders_of_axes(tmp_path: Path) -> None:
    """A layer of torch, whose weight is (out, in), goes on as one whose kernel is (in, out), and comes back."""
    model: Any = torch.nn.Sequential(torch.nn.Linear(3, 4))
    first = stepwell.torch.Adam(model.parameters(), lr=0.1)
    train(model, first, range(3))
    checkpoint.save(tmp_path / "file", first, model)
    arrays = {"kernel": np.zeros((3, 4), "f4"), "bias": np.zeros(4, "f4")}
    second = door.Adam(arrays)
    checkpoint.load(tmp_path / "file", second, names=TURNED.__getitem__)
    assert np.array_equal(arrays["kernel"], model[0].weight.detach().numpy().T)
    assert np.array_equal(second.state["kernel"]["m"], first.state[model[0].weight]["exp_avg"].numpy().T)
    checkpoint.save(tmp_path / "again", second, names=TURNED.__getitem__)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


def test_axes_of_three_are_turned_back(tmp_path: Path) -> None:
    """An order that is not its own inverse."""
    there = {"a": np.arange(24.0).reshape(4, 2, 3)}
    checkpoint.save(tmp_path / "file", door.Adam(there), names=lambda name: ("x", (2, 0, 1)))
    assert np.array_equal(reader.read(tmp_path / "file")[0]["p/x"], there["a"].transpose(2, 0, 1))
    back = {"a": np.zeros((4, 2, 3))}
    checkpoint.load(tmp_path / "file", door.Adam(back), names=lambda name: ("x", (2, 0, 1)))
    assert np.array_equal(back["a"], there["a"])


def test_rows_cannot_be_turned(tmp_path: Path) -> None:
    table = door.from_rule(rules.adagrad_rowwise)({"a": np.ones((3, 2))})
    with pytest.raises(
        CheckpointError, match=r"'s' of shape \(3, 1\) holds a number for each row .*; nothing was writ"
    ):
        checkpoint.save(tmp_path / "file", table, names=lambda name: (name, (1, 0)))


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (lambda name: "x", ValueError, "names must be one-to-one; 'w' and 'b' are both 'x' in the file"),
        (lambda name: 3, TypeError, r"names\('w'\) must give a name, or a name and a tuple of axes; got 3"),
        (lambda name: (name, (0, 0)), ValueError, r"names\('w'\): \(0, 0\) is no order of 2 axes"),
        (lambda name: (name, (0,)), ValueError, "parameter 'w' has 2 axes; names gives an order of 1"),
        (lambda name: (name, (0, True)), TypeError, "must give a name"),
    ],
)
def test_names_that_are_none(names: Any, error: type[Exception], words: str, tmp_path: Path) -> None:
    optimizer = halfway()
    before = frozen(optimizer)
    with pytest.raises(error, match=words):
        checkpoint.save(tmp_path / "file", optimizer, names=names)
    assert not (tmp_path / "file").exists()
    checkpoint.save(tmp_path / "file", optimizer)
    with pytest.raises((error, CheckpointError)):
        checkpoint.load(tmp_path / "file", optimizer, names=names)
    assert frozen(optimizer) == before


def test_arrays_in_a_list_are_named_by_position_or_by_the_user(tmp_path: Path) -> None:
    arrays = [np.ones(3), np.zeros(2)]
    checkpoint.save(tmp_path / "file", door.Adam(arrays))
    assert list(reader.read(tmp_path / "file")[1]["parameters"]) == ["0", "1"]
    checkpoint.save(tmp_path / "file", door.Adam(arrays), {"w": arrays[0], "b": arrays[1], "else": np.ones(1)})
    assert list(reader.read(tmp_path / "file")[1]["parameters"]) == ["w", "b"]
    with pytest.raises(ValueError, match="does not hold the array of 1"):
        checkpoint.save(tmp_path / "file", door.Adam(arrays), {"w": arrays[0], "b": arrays[1].copy()})
    with pytest.raises(TypeError, match=r"params must be a mapping .*; got list"):
        checkpoint.save(tmp_path / "file", door.Adam(arrays), arrays)
    with pytest.raises(TypeError, match=r"parameters are saved by name; \(1, 2\) is no text"):
        checkpoint.save(tmp_path / "file", door.Adam({(1, 2): arrays[0]}))


def test_other_optimizers_are_refused(tmp_path: Path) -> None:
    optimizer = torch.optim.Adam(linear().parameters())
    with pytest.raises(TypeError, match=r"must be of one of stepwell's doors .* got torch\.optim\.adam\.Adam"):
        checkpoint.save(tmp_path / "file", optimizer)


def test_a_name_that_is_no_text_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no text that can be written"):
        checkpoint.save(tmp_path / "file", door.Adam({"\ud800": np.ones(1)}))
    assert not list(tmp_path.iterdir())


def test_a_dtype_that_the_format_has_not(tmp_path: Path) -> None:
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.complex128))
    with pytest.raises(CheckpointError, match="'p/w' is of complex128; a checkpoint holds float64, complex64"):
        checkpoint.save(tmp_path / "file", stepwell.torch.Adam([w]), {"w": w})


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none", halfway())


def test_bfloat16_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"bfloat16 need ml_dtypes: pip install \"stepwell\[checkpoint\]\""):
        checkpoint.save(tmp_path / "file", stepwell.torch.Adam([w]), {"w": w})
    assert not list(tmp_path.iterdir())
