"""Trainings that come here from torch and go back, through `stepwell.checkpoint`."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import contextlib

import keras
import numpy as np
import pytest

import stepwell.keras as ours
from stepwell import checkpoint, rules
from stepwell.kernels.trace import updates
from tests.doors import resume
from tests.doors.keras.harness import BACKEND, numpy


class InKeras:
    """A training in Keras."""

    def __init__(self, rule, hyper, arrays):
        arguments = {"learning_rate" if name == "lr" else name: value for name, value in hyper.items()}
        self.optimizer = ours.from_rule(rule)(**arguments)
        self.variables = {name: keras.Variable(x, dtype=x.dtype.name) for name, x in arrays.items()}

    def step(self, gradients):
        given = [keras.ops.convert_to_tensor(gradients[name]) for name in self.variables]
        self.optimizer.apply(given, list(self.variables.values()))

    def save(self, path, names):
        checkpoint.save(path, self.optimizer, self.variables, names=names)

    def load(self, path, names):
        checkpoint.load(path, self.optimizer, self.variables, names=names)

    def arrays(self):
        return {name: numpy(v) for name, v in self.variables.items()}


def _kept_in_single(case):
    """On JAX without its double precision a state that is one number is rounded, so the file is not the same."""
    return BACKEND == "jax" and case.dtype == "float32" and updates(case.rule).scalar_state


@pytest.mark.parametrize("case", [case for case in resume.CASES if not _kept_in_single(case)], ids=str)
def test_a_training_goes_on_here_and_back(case, tmp_path):
    if BACKEND == "jax":
        import jax

        allowed = jax.enable_x64(case.dtype == "float64")
    else:
        allowed = contextlib.nullcontext()
    with allowed:
        resume.check(InKeras, case, tmp_path)


def _net():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")], name="net")
    net.compile(ours.Adam(0.01, use_ema=True), loss="mse")
    return net


def test_a_model_gives_its_names_and_its_average(tmp_path):
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    net = _net()
    net.fit(x, y, epochs=3, verbose=0)
    checkpoint.save(tmp_path / "file", net.optimizer, net)
    again = _net()
    checkpoint.load(tmp_path / "file", again.optimizer, again)
    for a, b in zip(again.optimizer.variables, net.optimizer.variables, strict=True):
        assert (numpy(a) == numpy(b)).all()
    assert int(again.optimizer.iterations) == 3
    assert [v.path for v in net.trainable_variables] == ["net/dense/kernel", "net/dense/bias"]


def test_what_does_not_fit_is_refused_before_anything_changes(tmp_path):
    one, other = keras.Variable(np.ones(2)), keras.Variable(np.ones(2))
    optimizer = ours.Nadam(0.1)
    optimizer.apply([keras.ops.ones(2)], [one])
    checkpoint.save(tmp_path / "file", optimizer, {"w": one})
    for wrong, words in (
        (ours.Adam(0.1), "its rule is nadam; this optimizer's is adam_eps_hat"),
        (ours.from_rule(rules.nadam)(0.1, momentum_decay=0.5), None),
    ):
        if words is None:
            checkpoint.load(tmp_path / "file", wrong, {"w": other})
            assert wrong.momentum_decay == 1.0
        else:
            with pytest.raises(checkpoint.CheckpointError, match=words):
                checkpoint.load(tmp_path / "file", wrong, {"w": other})
            assert (numpy(other) == 1).all()
    general = ours.from_rule(rules.nadam)(0.1, momentum_decay=0.5)
    general.apply([keras.ops.ones(2)], [one])
    checkpoint.save(tmp_path / "other", general, {"w": one})
    with pytest.raises(checkpoint.CheckpointError, match=r"momentum_decay is 0\.5; this optimizer's is always 1\.0"):
        checkpoint.load(tmp_path / "other", ours.Nadam(0.1), {"w": other})
    with pytest.raises(TypeError, match=r"params must be a keras\.Model or a mapping"):
        checkpoint.save(tmp_path / "none", optimizer)
    with pytest.raises(ValueError, match="Unknown variable"):
        checkpoint.save(tmp_path / "none", optimizer, {"w": other})
