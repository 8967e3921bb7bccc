# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""State dicts that are loaded: refused whole or taken whole, and nothing lost on the way to the next one."""

import copy
import re

import numpy as np
import paddle
import pytest

import stepwell.paddle as door
from stepwell import checkpoint, rules
from stepwell.paddle import from_rule


def parameter(*shape, dtype="float32"):
    return paddle.base.framework.EagerParamBase.from_tensor(paddle.zeros(shape, dtype))


def pair(make, *args, **options):
    """An optimizer of two parameters, with the names that they have in a new process."""
    with paddle.utils.unique_name.guard():
        p, q = parameter(2), parameter(2)
        return p, q, make(*args, parameters=[p, q], **options)


def step(optimizer, *given, value=1.0):
    optimizer.clear_grad(False)
    with paddle.utils.unique_name.guard():
        for p in given:
            p.grad = paddle.full(p.shape, value, p.dtype)
        optimizer.step()


def frozen(state):
    return {k: v.clone() if isinstance(v, paddle.Tensor) else copy.deepcopy(v) for k, v in state.items()}


def alike(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(a[k].numpy(), b[k].numpy()) if isinstance(a[k], paddle.Tensor) else a[k] == b[k] for k in a
    )


def last_in_double(state):
    return {**state, [*state][2]: state[[*state][2]].astype("float64")}


ODD = [
    (last_in_double, "and dtype float32; got float64"),
    (lambda s: {k: v for k, v in s.items() if k != "LR_Scheduler"}, "state_dict['LR_Scheduler'] must hold what"),
    (lambda s: {**s, "LR_Scheduler": {"last_epoch": 77}}, "state_dict['LR_Scheduler'] is not of a StepDecay"),
    (lambda s: {**s, "LR_Scheduler": 7}, "state_dict['LR_Scheduler'] must hold what"),
    (lambda s: {**s, "master_weights": 7}, "state_dict['master_weights'] must be a mapping; got 7"),
    (
        lambda s: {**s, "master_weights": {"_eager_param_base_1": paddle.zeros([3])}},
        "state_dict['master_weights']['_eager_param_base_1'] must have the shape [2] and dtype float32",
    ),
]


@pytest.mark.parametrize("make", [door.Adam, from_rule(rules.adam)])
@pytest.mark.parametrize(("spoil", "message"), ODD)
def test_a_state_dict_that_is_refused_changes_nothing(make, spoil, message):
    scheduler = paddle.optimizer.lr.StepDecay(0.1, 3)
    p, q, optimizer = pair(make, scheduler)
    for _ in range(3):
        step(optimizer, p, q)
        scheduler.step()
    before = frozen(optimizer.state_dict())
    given = {k: v * 0 if isinstance(v, paddle.Tensor) else copy.deepcopy(v) for k, v in before.items()}
    given["LR_Scheduler"]["last_epoch"] = 77
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.set_state_dict(spoil(given))
    assert alike(frozen(optimizer.state_dict()), before)


@pytest.mark.parametrize(
    "own", [7, {"_eager_param_base_1": {"step": -1}}, {"_eager_param_base_1": {"step": 3, "v": 1.0}}]
)
def test_odd_steps_are_refused(own):
    p, q, optimizer = pair(from_rule(rules.adam), 0.1)
    step(optimizer, p)
    given = {**frozen(optimizer.state_dict()), "stepwell": own}
    with pytest.raises(ValueError, match=re.escape("state_dict['stepwell']")):
        optimizer.set_state_dict(given)
    step(optimizer, q)
    np.testing.assert_allclose(q.numpy(), -0.1, rtol=1e-6)


def test_steps_of_a_refused_state_dict_are_not_taken_over():
    p, q, optimizer = pair(from_rule(rules.adam), 0.1)
    step(optimizer, p)
    with pytest.raises(ValueError, match="got nothing"):
        optimizer.set_state_dict({"stepwell": {q.name: {"step": 1000}}})
    step(optimizer, q)
    np.testing.assert_allclose(q.numpy(), -0.1, rtol=1e-6)


@pytest.mark.parametrize("bad", [([100], "float16"), ([100], "float64"), ([2], "float32"), ([3000], "float32")])
@pytest.mark.parametrize("make", [door.SGD, door.Adam, from_rule(rules.lion)])
def test_master_weights_that_do_not_fit_are_refused(make, bad):
    p = parameter(100, dtype="bfloat16")
    optimizer = make(0.1, parameters=[p], multi_precision=True)
    step(optimizer, p)
    before, state = optimizer._master_weights[p.name].numpy(), frozen(optimizer.state_dict())
    fresh = make(0.1, parameters=[p], multi_precision=True)
    for each in (optimizer, fresh):
        with pytest.raises(ValueError, match=re.escape(f"state_dict['master_weights']['{p.name}'] must have")):
            each.set_state_dict({**state, "master_weights": {p.name: paddle.zeros(*bad)}})
    assert (optimizer._master_weights[p.name].numpy() == before).all()
    assert not fresh._master_weights


def test_master_weights_are_copied():
    with paddle.utils.unique_name.guard():
        p = parameter(3, dtype="bfloat16")
        one = door.Adam(0.1, parameters=[p], multi_precision=True)
        step(one, p)
    with paddle.utils.unique_name.guard():
        q = parameter(3, dtype="bfloat16")
        other = door.Adam(0.1, parameters=[q], multi_precision=True)
        other.set_state_dict(one.state_dict())
        step(other, q)
        np.testing.assert_allclose(one._master_weights[p.name].numpy(), -0.1, rtol=1e-6)
        np.testing.assert_allclose(other._master_weights[q.name].numpy(), -0.2, rtol=1e-6)


@pytest.mark.parametrize("make", [door.Adam, door.Momentum, door.NAdam, from_rule(rules.adam), from_rule(rules.nadam)])
def test_what_was_loaded_outlives_a_save_before_it_was_needed(make):
    p, q, whole = pair(make, 0.1)
    for k in range(30):
        step(whole, p, q, value=1.0 + k)
    saved, at = frozen(whole.state_dict()), q.numpy()
    step(whole, p, q, value=-5.0)
    for _ in range(2):
        p2, q2, optimizer = pair(make, 0.1)
        optimizer.set_state_dict(saved)
        step(optimizer, p2)
        saved = frozen(optimizer.state_dict())
    p2, q2, optimizer = pair(make, 0.1)
    q2.set_value(at)
    optimizer.set_state_dict(saved)
    step(optimizer, q2, value=-5.0)
    np.testing.assert_allclose(q2.numpy(), q.numpy(), rtol=2e-6)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("make", [door.Adam, door.Adagrad, from_rule(rules.adam)])
def test_a_parameter_that_had_no_state_starts_anew_after_loading(make, order):
    p, q, optimizer = pair(make, 0.1)
    step(optimizer, p)
    saved = frozen(optimizer.state_dict())
    p, q, optimizer = pair(make, 0.1)
    optimizer.set_state_dict(saved)
    step(optimizer, *[p, q][::order])
    np.testing.assert_allclose(q.numpy(), -0.1, rtol=1e-6)
    assert (p.numpy() > -0.1 * 1.0001).all()


@pytest.mark.parametrize("make", [door.Adam, from_rule(rules.adam)])
def test_state_of_others_or_a_part_of_it_is_refused(make):
    p, q, optimizer = pair(make, 0.1)
    step(optimizer, p, q)
    saved = frozen(optimizer.state_dict())
    arrays = [name for name in saved if name.startswith(q.name)]
    renamed = {name.replace("_eager", "other"): x for name, x in saved.items()}
    for given in (renamed, *({k: v for k, v in saved.items() if k != name} for name in arrays)):
        p, q, optimizer = pair(make, 0.1)
        optimizer.set_state_dict(given)
        for _ in range(2):
            with pytest.raises(ValueError, match="the state dict that was loaded must have"):
                step(optimizer, p, q)
        assert not p.numpy().any()
        assert not q.numpy().any()


def groups_of(p, q, first, second):
    return [{"params": [p], "learning_rate": first}, {"params": [q], "learning_rate": second}]


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001, 3e-4, 0.05, 0.3, 1 / 3])
@pytest.mark.parametrize("first", [1.0, 0.1, 0.5])
def test_a_checkpoint_goes_back_where_rates_have_factors(rate, first, tmp_path):
    for second in (0.1, 0.2, 0.3, 0.7, 0.9, 0.01, 0.0):
        p, q = parameter(1), parameter(1)
        optimizer = door.SGD(rate, groups_of(p, q, first, second))
        checkpoint.save(tmp_path / "state", optimizer, {"p": p, "q": q})
        again = door.SGD(0.7, groups_of(p, q, first, second))
        checkpoint.load(tmp_path / "state", again, {"p": p, "q": q})
        assert again.get_lr() * first == rate * first
        assert again.get_lr() * second == rate * second
        assert abs(again.get_lr() / rate - 1) < 4e-16


def test_rates_that_no_factor_explains_are_refused(tmp_path):
    p, q = parameter(1), parameter(1)
    checkpoint.save(tmp_path / "state", door.SGD(0.1, groups_of(p, q, 1.0, 0.5)), {"p": p, "q": q})
    with pytest.raises(checkpoint.CheckpointError, match="this optimizer has one for all"):
        checkpoint.load(tmp_path / "state", door.SGD(0.1, groups_of(p, q, 1.0, 0.4)), {"p": p, "q": q})


@pytest.mark.parametrize("beta2", [0.75, 0.9999, 0.99999])
@pytest.mark.parametrize("make", [door.Adam, door.AdamW])
def test_a_beta_that_is_a_tensor_starts_at_step_one(make, beta2):
    p = parameter(1)
    optimizer = make(0.1, beta2=paddle.to_tensor(beta2), parameters=[p])
    step(optimizer, p)
    np.testing.assert_allclose(p.numpy(), -0.1, rtol=1e-6)
    assert optimizer._entries[p.name].step == 1


def test_the_step_is_read_from_powers_until_they_fade(tmp_path):
    """Those of Adam for far longer than a float's digits seem to say; what the numbers do not need is not kept."""
    for steps in (1, 1000, 60_000, 87_000):
        p, _, optimizer = pair(door.Adam, 0.1)
        step(optimizer, p)
        optimizer._entries[p.name].step = steps
        saved = frozen(optimizer.state_dict())
        p, _, again = pair(door.Adam, 0.1)
        again.set_state_dict(saved)
        step(again, p)
        assert again._entries[p.name].step == steps + 1


def test_a_rate_that_is_a_function_moves_with_every_step_that_is_made():
    p = parameter(1)
    optimizer = door.SGD(lambda k: 0.1 * (k + 1), [p])
    optimizer.step()
    step(optimizer, p)
    np.testing.assert_allclose(p.numpy(), -0.2, rtol=1e-6)
