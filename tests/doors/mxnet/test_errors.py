# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""What is refused, with the argument, its value and its domain; and nothing has changed."""

import subprocess
import sys

import mxnet
import numpy as np
import pytest
from mxnet import gluon, nd

import stepwell.mxnet
from stepwell import rules, schedules
from stepwell.rule import Rate, rule
from tests.doors.mxnet.harness import parameters

ARGUMENTS = [
    ("SGD", {"momentum": 1.5}, ValueError, "momentum must be a number in [0, 1); got 1.5"),
    ("SGD", {"learning_rate": -1}, ValueError, "learning_rate must be a finite number ≥ 0; got -1"),
    ("SGD", {"learning_rate": "fast"}, TypeError, "learning_rate must be a finite number ≥ 0; got 'fast'"),
    ("SGD", {"wd": float("nan")}, ValueError, "wd must be a finite number ≥ 0; got nan"),
    ("SGD", {"clip_gradient": -1.0}, ValueError, "clip_gradient must be a finite number > 0; got -1.0"),
    ("Adam", {"beta2": 1}, ValueError, "beta2 must be a number in [0, 1); got 1"),
    ("Adam", {"epsilon": -1e-8}, ValueError, "epsilon must be a finite number ≥ 0; got -1e-08"),
    ("Adam", {"eps": 1e-8}, TypeError, "eps"),
    ("Adam", {"learning_rate": schedules.linear(3), "lr_scheduler": mxnet.lr_scheduler.FactorScheduler(3)},
     TypeError, "learning_rate is a schedule; lr_scheduler must then be None"),
    ("RMSProp", {"gamma1": 2.0}, ValueError, "gamma1 must be a number in [0, 1]; got 2.0"),
    ("RMSProp", {"clip_weights": 0}, ValueError, "clip_weights must be a finite number > 0; got 0"),
    ("Signum", {"momentum": 0.0, "wd_lh": 0.1}, ValueError, "wd_lh must be 0 without momentum"),
    ("GroupAdaGrad", {"wd": 0.1}, ValueError, "wd must be 0 for GroupAdaGrad; got 0.1"),
    ("Yogi", {"beta3": 0.1}, TypeError, "Yogi has no argument 'beta3'; it has lr, beta1"),
    ("Yogi", {"lr": 0.1, "learning_rate": 0.2}, TypeError, "lr and learning_rate are one argument; got 0.1 and 0.2"),
    ("Yogi", {"sparse": "rows"}, ValueError, "sparse must be 'lazy' or 'exact'; got 'rows'"),
    ("Yogi", {"beta1": -0.5}, ValueError, "beta1 must be a number in [0, 1); got -0.5"),
    ("Adamw", {"weight_decay": -0.5}, ValueError, "wd must be a finite number ≥ 0; got -0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "kind", "words"), ARGUMENTS)
def test_an_argument_outside_its_domain(name, options, kind, words):
    with pytest.raises(kind) as error:
        getattr(stepwell.mxnet, name)(**options)
    assert words in str(error.value)


def one(optimizer=None, dtype="float32"):
    return mxnet.optimizer.get_updater(optimizer or stepwell.mxnet.SGD()), nd.ones((3, 2), dtype=dtype)


ones = np.ones((1, 2), np.float32)
GRADIENTS = [
    (lambda: nd.ones((2, 3)), ValueError, "the gradient of parameter 0 must be float32 of shape (3, 2); got float32"),
    (lambda: nd.ones((3, 2), dtype="float64"), ValueError, "must be float32 of shape (3, 2); got float64"),
    (lambda: np.ones((3, 2)), TypeError, "the gradient of parameter 0 must be an NDArray, dense or row_sparse; got nd"),
    (lambda: nd.ones((3, 2)).tostype("csr"), TypeError, "must be an NDArray, dense or row_sparse; got csr"),
    (lambda: nd.sparse.row_sparse_array((ones, [3]), shape=(3, 2)), IndexError, "3"),
    (lambda: nd.sparse.row_sparse_array((ones, [-1]), shape=(3, 2)), IndexError, "-1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "words"), GRADIENTS)
def test_a_gradient_of_another_kind(make, kind, words):
    update, w = one()
    with pytest.raises(kind) as error:
        update([0, 1], [nd.ones((3, 2)), make()][::-1], [w, w.copy()])
    assert words in str(error.value)
    assert (w.asnumpy() == 1).all()
    assert update.optimizer.num_update == 0
    assert not update.optimizer._index_update_count


def test_a_parameter_of_another_kind():
    update, w = one(dtype="int32")
    with pytest.raises(TypeError, match="parameter 0 must be float16, float32, float64; got int32"):
        update(0, w, w)
    rows = nd.sparse.row_sparse_array((ones, [1]), shape=(3, 2))
    with pytest.raises(ValueError, match="parameter 1 has 3 rows and stores 1; all must be there"):
        update(1, nd.ones((3, 2)), rows)


def test_the_state_of_another_optimizer():
    update, w = one(stepwell.mxnet.Adam())
    other, _ = one(mxnet.optimizer.Adam())
    other(0, nd.ones((3, 2)), nd.ones((3, 2)))
    update.set_states(other.get_states())
    with pytest.raises(
        ValueError, match="the state of parameter 0 must be that of adam_eps_hat, with m, step, v; got tup"
    ):
        update(0, nd.ones((3, 2)), w)
    assert (w.asnumpy() == 1).all()


def test_an_option_that_chooses_the_rule_changes():
    update, w = one(stepwell.mxnet.SGD())
    update(0, nd.ones((3, 2)), w)
    update.optimizer.momentum = 0.5
    with pytest.raises(ValueError, match="must be that of momentum_rate_inside, with step, v; got step"):
        update(0, nd.ones((3, 2)), w)


def test_a_scheduler_that_gives_nonsense():
    update, w = one(stepwell.mxnet.SGD(lr_scheduler=lambda k: -1.0))
    with pytest.raises(ValueError, match="the learning rate of parameter 0 must be a finite number ≥ 0; got -1"):
        update(0, nd.ones((3, 2)), w)
    assert (w.asnumpy() == 1).all()
    assert update.optimizer.num_update == 0


def test_a_schedule_that_gives_nonsense():
    update, w = one(stepwell.mxnet.SGD(learning_rate=lambda k: -1.0))
    with pytest.raises(ValueError, match=r"lr must be a finite number ≥ 0; got -1\.0 at step 0"):
        update(0, nd.ones((3, 2)), w)
    assert update.optimizer.num_update == 0


def test_rows_that_are_none():
    optimizer = stepwell.mxnet.from_rule(rules.momentum)(sparse="exact")
    update, w = one(optimizer)
    update(0, nd.sparse.row_sparse_array((ones, [1]), shape=(3, 2)), w)
    with pytest.raises(TypeError, match="rows must be int32 or int64; got float64"):
        optimizer.catch_up(0, [0.5])
    with pytest.raises(IndexError):
        optimizer.catch_up(0, [3])


def test_a_parameter_replaced_while_rows_are_behind():
    optimizer = stepwell.mxnet.from_rule(rules.momentum)(sparse="exact")
    update, w = one(optimizer)
    for row in (0, 1):
        update(0, nd.sparse.row_sparse_array((ones, [row]), shape=(3, 2)), w)
    with pytest.raises(RuntimeError, match=r"call the optimizer's flush\(\) before replacing it"):
        update(0, nd.sparse.row_sparse_array((ones, [1]), shape=(3, 2)), nd.ones((3, 2)))


def test_what_is_no_rule_and_rules_whose_names_are_taken():
    with pytest.raises(TypeError, match="rule must be made by"):
        stepwell.mxnet.from_rule(len)  # pyright: ignore[reportArgumentType]

    @rule
    def odd(g, *, lr: Rate = 0.1, wd: Rate = 0.1):
        """Odd."""
        return lr * wd * g

    with pytest.raises(ValueError, match="odd: 'wd' is an argument that MXNet gives a meaning; choose another name"):
        stepwell.mxnet.from_rule(odd)

    @rule
    def needy(g, *, lr: Rate = 0.1, power: Rate):
        """Needy."""
        return lr * power * g

    with pytest.raises(TypeError, match="needy needs the hyperparameter 'power', a finite number ≥ 0"):
        stepwell.mxnet.from_rule(needy)()
    with pytest.raises(TypeError, match="is a base"):
        stepwell.mxnet.Optimizer()
    with pytest.raises(AttributeError, match="has no attribute 'Adan'"):
        _ = stepwell.mxnet.Adan


def test_stale_gradients_are_gluons_affair():
    p = parameters({"w": np.ones(3)})
    trainer = gluon.Trainer(p, "stepwell_sgd")
    with pytest.raises(UserWarning, match="has not been updated by backward"):
        trainer.step(1)
    trainer.step(1, ignore_stale_grad=True)
    assert (p["w"].data().asnumpy() == 1).all()


@pytest.mark.parametrize("how", ["mxnet is not there", "numpy is too new"])
def test_without_mxnet_it_says_what_to_install(how, tmp_path):
    (tmp_path / "mxnet.py").write_text(
        "raise ImportError('no')" if how == "mxnet is not there" else "import numpy\nnumpy.no_such_name"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import stepwell, stepwell.numpy; import stepwell.mxnet"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: stepwell.mxnet needs ")
    assert "mxnet==1.9.1" in done.stderr.splitlines()[-1]
    assert "numpy<1.24" in done.stderr.splitlines()[-1]
