"""A run that stops and goes on is the run that did not stop; what does not fit is refused and changes nothing."""

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import stepwell.numpy as door
from stepwell import rules, schedules
from stepwell.rule import Rate, rule
from tests.numpy import snapshot
from tests.numpy.reference import decades

SHAPES = [(17,), (), (4, 5), (0,)]
EVERY_RULE = list(rules.named.values())
GRADIENTS = decades(SHAPES, "float64", steps=8)


def parameters() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [np.asarray(0.01 * rng.standard_normal(shape)) for shape in SHAPES]


def halfway(kind: type[door.Optimizer], **options: Any) -> door.Optimizer:
    optimizer = kind(parameters(), **options)
    for grads in GRADIENTS[:4]:
        optimizer.step(grads)
    return optimizer


def finish(optimizer: door.Optimizer) -> Any:
    for grads in GRADIENTS[4:]:
        optimizer.step(grads)
    return snapshot.of(optimizer)


def resumed(optimizer: door.Optimizer, **options: Any) -> door.Optimizer:
    """A new optimizer, made with other numbers, that took over copies of the arrays and the state."""
    params = [p.copy() for p in optimizer.params]
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    again = type(optimizer)(params, **options)
    again.load_state_dict(saved)
    return again


WHOLE = {"weight_decay": 0.01, "maximize": True, "clip_norm": 0.1, "ema": 0.9, "check_finite": True}


@pytest.mark.parametrize("given", EVERY_RULE, ids=lambda r: r.name)
def test_a_resumed_run_is_the_run(given):
    optimizer = halfway(door.from_rule(given), lr=0.1)
    again = resumed(optimizer, lr=0.3)
    assert snapshot.of(again) == snapshot.of(optimizer)
    assert finish(again) == finish(optimizer)


@pytest.mark.parametrize("kind", [door.Adamw, door.Nadam, door.MomentumDampened], ids=lambda k: k.__name__)
def test_a_resumed_run_has_its_options(kind):
    optimizer = halfway(kind, lr=0.1, **WHOLE)
    again = resumed(optimizer, lr=0.3)
    assert snapshot.of(again) == snapshot.of(optimizer)
    assert finish(again) == finish(optimizer)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("kind", [door.Adam, door.Nadam], ids=lambda k: k.__name__)
def test_a_copy_goes_on_alike_and_apart(kind, copied):
    optimizer = halfway(kind, ema=0.5)
    again = copied(optimizer)
    assert type(again) is kind
    before = snapshot.of(optimizer)
    ended = finish(again)
    assert snapshot.of(optimizer) == before
    assert ended == finish(optimizer)


def test_a_copy_knows_where_its_own_arrays_lie():
    """Gradients that are arrays of the parameters are noticed in the copy too."""
    again = copy.deepcopy(halfway(door.GradientDescent, lr=0.5))
    x, y = again.params[0], again.params[0].copy()
    again.params[1:] = [y]
    fresh = copy.deepcopy(door.GradientDescent([x, y], lr=0.5))
    (x, y), (old_x, old_y) = fresh.params, [p.copy() for p in fresh.params]
    fresh.step([y, x])
    np.testing.assert_array_equal([x, y], [old_x - 0.5 * old_y, old_y - 0.5 * old_x])


def test_a_copy_of_a_subclass_and_of_a_users_rule():
    @rule
    def own(g, *, lr: Rate = 1):
        return lr * g

    class Mine(door.Adam):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
        pass

    for kind in (door.from_rule(own), Mine):
        again = copy.deepcopy(kind([np.zeros(2)]))
        assert type(again) is kind
        again.step([np.ones(2)])


def test_a_schedule_goes_on_where_it_was():
    seen: list[int] = []

    def schedule(step: int) -> float:
        seen.append(step)
        return 0.1 / (1 + step)

    optimizer = halfway(door.Momentum, lr=schedule)
    again = resumed(optimizer, lr=schedule)
    seen.clear()
    ended = finish(again)
    assert seen == [4, 5, 6, 7]
    assert again.hyper["lr"] == 0.1 / 8
    assert finish(optimizer) == ended


def test_schedules_are_pickled_with_the_optimizer():
    optimizer = halfway(door.Adam, lr=schedules.warmup(2).then(schedules.cosine(10)))
    assert finish(pickle.loads(pickle.dumps(optimizer))) == finish(optimizer)


def test_a_state_dict_is_a_copy():
    optimizer = halfway(door.Adam)
    saved = optimizer.state_dict()
    kept = snapshot.frozen(saved)
    finish(optimizer)
    assert snapshot.frozen(saved) == kept
    optimizer.load_state_dict(saved)
    finish(optimizer)
    assert snapshot.frozen(saved) == kept


def test_a_state_dict_is_plain():
    saved = halfway(door.Nadam, ema=0.5).state_dict()
    assert set(saved) == {"rule", "hyper", "options", "updates", "state"}
    assert (saved["rule"], saved["updates"]) == ("nadam", 4)
    assert set(saved["state"][0]) == {"m", "v", "mu_product", "ema", "step"}
    assert saved["options"] == {
        "weight_decay": 0.0,
        "maximize": False,
        "clip_norm": None,
        "ema": 0.5,
        "check_finite": False,
        "sparse": "lazy",
    }


def at(*path: Any, value: Any = None) -> Any:
    """A change of a saved dict: another value at a path, or none at all."""

    def change(saved: Any) -> Any:
        inner = saved
        for key in path[:-1]:
            inner = inner[key]
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return saved

    return change


DAMAGE = [
    (lambda saved: None, "state_dict must have the keys rule, hyper, options, updates, state; got NoneType"),
    (lambda saved: [1], "got list"),
    (at("updates"), "got 'rule', 'hyper', 'options', 'state'"),
    (at("more", value=1), "must have the keys"),
    (at("rule", value="adam"), "state_dict is of the rule 'adam'; this optimizer's is 'nadam'"),
    (at("hyper", value=[1]), "hyper must be a dict; got [1]"),
    (at("hyper", "beta3", value=0.5), "nadam has no hyperparameter 'beta3'"),
    (at("hyper", "beta1", value=2.0), "beta1 must be a number in [0, 1); got 2.0"),
    (at("hyper", "lr", value="fast"), "lr must be a finite number ≥ 0; got 'fast'"),
    (at("options", "nesterov", value=True), "nesterov"),
    (at("options", "ema", value=1.5), "ema must be a number in [0, 1); got 1.5"),
    (at("options", "maximize", value=2), "maximize must be True or False; got 2"),
    (at("updates", value=-1), "updates must be an integer ≥ 0; got -1"),
    (at("updates", value=2.5), "updates must be an integer ≥ 0; got 2.5"),
    (at("updates", value="4"), "updates must be an integer ≥ 0; got '4'"),
    (at("state", value=[1]), "state must be a dict"),
    (at("state", "w", value={}), "state_dict has state for 'w', which is not a parameter"),
    (at("state", 0, value=3), "the state of 0 must have m, v, mu_product, ema, step; got int"),
    (at("state", 0, "v"), "the state of 0 must have m, v, mu_product, ema, step; got m, mu_product, ema, step"),
    (at("state", 0, "ema"), "the state of 0 must have"),
    (at("state", 0, "w", value=np.zeros(17)), "the state of 0 must have"),
    (at("state", 2, "m", value=np.zeros((5, 4))), "the state of 2: m must have the shape (4, 5); got (5, 4)"),
    (at("state", 0, "m", value=0.0), "m must have the shape (17,); got ()"),
    (at("state", 0, "m", value=["0"] * 17), "m must hold numbers"),
    (at("state", 0, "m", value=np.zeros(17, complex)), "m must hold numbers; got complex128"),
    (at("state", 0, "mu_product", value=np.ones(3)), "mu_product must have the shape (); got (3,)"),
    (at("state", 0, "step", value=-2), "step must be an integer ≥ 0; got -2"),
    (at("state", 0, "step", value=np.nan), "step must be an integer ≥ 0; got nan"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), DAMAGE, ids=[words for _, words in DAMAGE])
def test_a_damaged_state_dict_is_refused_and_changes_nothing(damage, words):
    optimizer = halfway(door.Nadam, ema=0.5)
    before = snapshot.of(optimizer)
    with pytest.raises(ValueError, match=re.escape(words)):
        optimizer.load_state_dict(damage(optimizer.state_dict()))
    assert snapshot.of(optimizer) == before


def test_a_state_dict_from_other_arrays_is_refused():
    optimizer = halfway(door.Adam)
    other = door.Adam([np.zeros(17), np.zeros(2), np.zeros((4, 5)), np.zeros(0)])
    with pytest.raises(ValueError, match=r"the state of 1: m must have the shape \(2,\); got \(\)"):
        other.load_state_dict(optimizer.state_dict())
    assert other.state == {}
