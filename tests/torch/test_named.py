"""torch.optim's names: its signatures, its numbers at every step, its state by its names."""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stepwell.torch as door
from tests.torch.harness import SMALL, Maker, assert_same_training, give_gradients, parameters
from tests.torch.options import ENGINES, NAMES, every_case, options_of, values_of

WHOLE_STEP = {
    "clip_norm": None, "ema": None, "zero_grad": False, "check_finite": False, "sparse": "lazy", "state_dtype": None,
    "rounding": "nearest", "in_backward": False,
}  # fmt: skip


def ours(name: str, options: dict[str, Any]) -> Maker:
    return lambda params: getattr(door, name)(params, **options)


def theirs(name: str, options: dict[str, Any]) -> Maker:
    """torch's for-loop, the plainest of its implementations."""
    return lambda params: getattr(torch.optim, name)(params, **options, foreach=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), every_case())
def test_numbers_are_those_of_torch(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    assert_same_training(ours(name, options), theirs(name, options), dtype=dtype)


@st.composite
def any_options(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Any combination of an optimizer's options that torch takes."""
    drawn = {k: draw(st.sampled_from([default, *values_of(name, k)])) for k, default in options_of(name).items()}
    if drawn.get("nesterov"):
        drawn |= {"dampening": 0, "momentum": 0.9}
    return drawn


@pytest.mark.parametrize("name", NAMES)
def test_any_options_at_any_sizes(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(any_options(name), st.lists(st.integers(0, 40), min_size=1, max_size=4))
    def check(options: dict[str, Any], sizes: list[int]) -> None:
        assert_same_training(ours(name, options), theirs(name, options), sizes=sizes, dtype=torch.float64)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_any_dimension(name: str) -> None:
    shapes = [(), (1, 1), (3, 0, 2), (7, 5), (2, 3, 4, 5)]
    assert_same_training(ours(name, {}), theirs(name, {}), sizes=shapes, dtype=torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_that_of_torch_and_the_whole_step(name: str) -> None:
    mine = inspect.signature(getattr(door, name)).parameters
    torchs = inspect.signature(getattr(torch.optim, name)).parameters
    assert [(p.name, p.kind, p.default) for p in mine.values() if p.name in torchs] == [
        (p.name, p.kind, p.default) for p in torchs.values()
    ]
    more = {k: p for k, p in mine.items() if k not in torchs}
    assert {k: p.default for k, p in more.items()} == WHOLE_STEP
    assert all(p.kind is p.KEYWORD_ONLY for p in more.values())


@pytest.mark.parametrize("name", NAMES)
def test_positional_arguments_are_torchs(name: str) -> None:
    torchs = inspect.signature(getattr(torch.optim, name)).parameters.values()
    fixed = {"capturable": False, "differentiable": False, "foreach": False, "dampening": 0}
    positional = [p.name for p in torchs if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "params"]
    given = [fixed[k] if k in fixed else values_of(name, k)[0] for k in positional]
    assert len(given) >= 4
    keywords = {} if "foreach" in positional else {"foreach": False}
    assert_same_training(
        lambda params: getattr(door, name)(params, *given),
        lambda params: getattr(torch.optim, name)(params, *given, **keywords),
        sizes=SMALL,
        dtype=torch.float64,
    )


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_groups_have_the_keys_of_torch(name: str) -> None:
    params = parameters(SMALL, torch.float32)
    mine, yours = ours(name, {})(params), getattr(torch.optim, name)(params)
    assert mine.defaults == yours.defaults
    assert [{k: v for k, v in g.items() if k != "params"} for g in mine.param_groups] == [
        {k: v for k, v in g.items() if k != "params"} for g in yours.param_groups
    ]


@pytest.mark.parametrize("value", [True, False, None])
@pytest.mark.parametrize("name", NAMES)
def test_the_choice_of_torchs_engine_changes_nothing(name: str, value: bool | None) -> None:
    torchs = inspect.signature(getattr(torch.optim, name)).parameters
    for engine in (e for e in ENGINES if e in torchs):
        left, right = parameters(SMALL, torch.float32), parameters(SMALL, torch.float32)
        plain, chosen = ours(name, {})(left), ours(name, {engine: value})(right)
        give_gradients(left, right, step=3)
        plain.step()
        chosen.step()
        assert all(map(torch.equal, left, right))


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_of_zero_moves_the_state_alone(name: str) -> None:
    with pytest.raises(AssertionError, match="nothing moved"):
        assert_same_training(ours(name, {"lr": 0.0}), theirs(name, {"lr": 0.0}), sizes=SMALL, dtype=torch.float64)


def test_an_absent_gradient_leaves_parameter_and_state_alone() -> None:
    p, q = parameters((4, 4), torch.float32)
    optimizer = door.Adam([p, q])
    for step in range(3):
        p.grad = torch.ones(4)
        q.grad = None if step == 1 else torch.ones(4)
        before = q.detach().clone()
        optimizer.step()
        assert torch.equal(q, before) == (step == 1)
    assert (optimizer.state[p]["step"], optimizer.state[q]["step"]) == (3, 2)
