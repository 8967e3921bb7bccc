# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Trainings that come here from torch and go back, through `stepwell.checkpoint`."""

import mxnet
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import stepwell.mxnet
import stepwell.numpy
from stepwell import checkpoint, rules, schedules
from stepwell.mxnet import portable
from tests.doors import resume
from tests.doors.mxnet.harness import give, parameters


class InMxnet:
    """A training in Gluon."""

    def __init__(self, rule, hyper, arrays):
        self.params = parameters(arrays)
        self.trainer = gluon.Trainer(self.params, stepwell.mxnet.from_rule(rule)(**hyper), **self.store())

    def store(self):
        return {}

    def step(self, gradients):
        for name, p in self.params.items():
            give(p, gradients[name])
        self.trainer.step(1)

    def save(self, path, names):
        checkpoint.save(path, self.trainer.optimizer, self.params, names=names)

    def load(self, path, names):
        checkpoint.load(path, self.trainer.optimizer, self.params, names=names)

    def arrays(self):
        return {name: p.data().asnumpy() for name, p in self.params.items()}


class OnAStore(InMxnet):
    """The same where a store updates the parameters."""

    def store(self):
        return {"kvstore": mxnet.kv.create("local"), "update_on_kvstore": True}


@pytest.mark.parametrize("case", resume.CASES, ids=str)
def test_a_training_goes_on_here_and_back(case, tmp_path):
    resume.check(InMxnet, case, tmp_path)


@pytest.mark.parametrize("case", [case for case in resume.CASES if case.rule.name in ("adam", "nadam")], ids=str)
def test_and_where_a_store_updates_the_parameters(case, tmp_path):
    resume.check(OnAStore, case, tmp_path)


def net_and_trainer(optimizer, units=2):
    net = gluon.nn.Sequential()
    net.add(gluon.nn.Dense(units, in_units=3), gluon.nn.BatchNorm(in_channels=units), gluon.nn.Dense(1, in_units=units))
    net.initialize(mxnet.init.Xavier())
    return net, gluon.Trainer(net.collect_params(), optimizer)


def train(net, trainer, steps=3):
    for k in range(steps):
        with autograd.record():
            loss = (net(nd.array(np.random.default_rng(k).standard_normal((4, 3)))) ** 2).sum()
        loss.backward()
        trainer.step(4)


@pytest.mark.parametrize("of", ["block", "trainer", "mapping"])
def test_a_block_gives_its_names(of, tmp_path):
    net, trainer = net_and_trainer(stepwell.mxnet.Adam(learning_rate=0.25))
    train(net, trainer)
    model = {"block": net, "trainer": trainer, "mapping": dict(net.collect_params().items())}[of]
    checkpoint.save(tmp_path / "file", trainer.optimizer, model)
    names = set(portable.named(trainer.optimizer, model))
    if of == "block":
        assert names == {"0.weight", "0.bias", "1.gamma", "1.beta", "2.weight", "2.bias"}
        other, again = net_and_trainer(stepwell.mxnet.Adam())
        other[1].running_mean.set_data(net[1].running_mean.data())
        other[1].running_var.set_data(net[1].running_var.data())
        checkpoint.load(tmp_path / "file", again.optimizer, other)
        assert again.learning_rate == 0.25
        assert again.optimizer.num_update == 3
        for a, b in ((net, trainer), (other, again)):
            train(a, b)
        x = nd.ones((4, 3))
        assert (net(x).asnumpy() == other(x).asnumpy()).all()
    assert len(names) == 6


def test_half_precision_is_saved_as_its_copy_in_single(tmp_path):
    p = parameters({"w": np.ones(4, np.float16)})
    trainer = gluon.Trainer(p, stepwell.mxnet.Adam(multi_precision=True))
    give(p["w"], np.ones(4, np.float16))
    trainer.step(1)
    checkpoint.save(tmp_path / "file", trainer.optimizer, p)
    array = np.zeros(4, np.float32)
    other = stepwell.numpy.from_rule(rules.adam_eps_hat)({"w": array})
    checkpoint.load(tmp_path / "file", other)
    assert (array == trainer._updaters[0].states[0]["master"]).all()
    assert (array != p["w"].data().asnumpy()).all()
    q = parameters({"w": np.zeros(4, np.float16)})
    again = gluon.Trainer(q, stepwell.mxnet.Adam(multi_precision=True))
    checkpoint.load(tmp_path / "file", again.optimizer, q)
    for params, one in ((p, trainer), (q, again)):
        give(params["w"], np.ones(4, np.float16))
        one.step(1)
    assert (again._updaters[0].states[0]["master"] == trainer._updaters[0].states[0]["master"]).all()


def test_rows_that_are_behind_are_settled(tmp_path):
    p = gluon.Parameter("w", shape=(5, 2), grad_stype="row_sparse", init=mxnet.init.One())
    p.initialize()
    optimizer = stepwell.mxnet.from_rule(rules.momentum)(sparse="exact", lr=0.5)
    trainer = gluon.Trainer([p], optimizer)
    for row in (0, 1, 2):
        g = nd.sparse.row_sparse_array((np.ones((1, 2), "f"), [row]), shape=(5, 2))
        g.copyto(p.grad())
        p.data()._fresh_grad = True
        trainer.step(1)
    before = p.data().asnumpy()
    checkpoint.save(tmp_path / "file", optimizer, {"w": p})
    assert (p.data().asnumpy()[0] != before[0]).all()
    checkpoint.load(tmp_path / "file", optimizer, {"w": p})
    g.copyto(p.grad())
    p.data()._fresh_grad = True
    trainer.step(1)


def test_what_does_not_fit_is_refused_before_anything_changes(tmp_path):
    p = parameters({"w": np.ones(3)})
    trainer = gluon.Trainer(p, stepwell.mxnet.from_rule(rules.adadelta)(lr=0.5))
    give(p["w"], np.ones(3))
    trainer.step(1)
    checkpoint.save(tmp_path / "file", trainer.optimizer, p)
    for optimizer, words in (
        (stepwell.mxnet.Adam(), "its rule is adadelta; this optimizer's is adam_eps_hat"),
        (stepwell.mxnet.AdaDelta(), "its lr is 0.5; this optimizer's is always 1.0"),
    ):
        q = parameters({"w": np.zeros(3)})
        gluon.Trainer(q, optimizer)
        with pytest.raises(checkpoint.CheckpointError, match=words):
            checkpoint.load(tmp_path / "file", optimizer, q)
        assert (q["w"].data().asnumpy() == 0).all()
    lion = stepwell.mxnet.from_rule(rules.lion)(beta1=0.5)
    q = parameters({"w": np.zeros(3)})
    gluon.Trainer(q, lion)
    checkpoint.save(tmp_path / "lion", lion, q)
    signum = stepwell.mxnet.Signum()
    gluon.Trainer(q, signum)
    with pytest.raises(checkpoint.CheckpointError, match="with its hyperparameters"):
        checkpoint.load(tmp_path / "lion", signum, q)
    assert signum.momentum == 0.9
    with pytest.raises(TypeError, match=r"params must be the gluon\.Block, its gluon\.Trainer, or a mapping"):
        checkpoint.save(tmp_path / "none", signum)
    with pytest.raises(ValueError, match=r"params must be those of a gluon\.Trainer whose `optimizer` is this one"):
        checkpoint.save(tmp_path / "none", stepwell.mxnet.Adam(), q)
    several = parameters({"w": np.zeros(3), "b": np.zeros(1)})
    adam = stepwell.mxnet.Adam()
    gluon.Trainer(several, adam)
    with pytest.raises(ValueError, match="params must name every parameter of the trainer; b have no name there"):
        checkpoint.save(tmp_path / "none", adam, {"w": several["w"]})


def test_a_schedule_goes_on(tmp_path):
    made = [parameters({"w": np.ones(3)}) for _ in range(2)]
    trainers = [gluon.Trainer(p, stepwell.mxnet.SGD(learning_rate=schedules.linear(10))) for p in made]
    for _ in range(4):
        give(made[0]["w"], np.ones(3))
        trainers[0].step(1)
    checkpoint.save(tmp_path / "file", trainers[0].optimizer, made[0])
    checkpoint.load(tmp_path / "file", trainers[1].optimizer, made[1])
    for p, trainer in zip(made, trainers, strict=True):
        give(p["w"], np.ones(3))
        trainer.step(1)
        assert trainer.learning_rate == schedules.linear(10)(4)
    assert (made[0]["w"].data().asnumpy() == made[1]["w"].data().asnumpy()).all()


def test_parameters_of_numpys_kind_go_on(tmp_path):
    source = {"w": np.full(3, 0.25, np.float32)}
    before = stepwell.numpy.from_rule(rules.momentum)(source, lr=0.1)
    before.step({"w": np.ones(3, np.float32)})
    checkpoint.save(tmp_path / "file", before)
    mxnet.npx.set_np()
    try:
        p = gluon.Parameter("w", shape=(3,))
        p.initialize(mxnet.init.Zero())
        trainer = gluon.Trainer([p], stepwell.mxnet.from_rule(rules.momentum)(lr=0.5))
        checkpoint.load(tmp_path / "file", trainer.optimizer, {"w": p})
        with autograd.record():
            loss = p.data().sum()
        loss.backward()
        trainer.step(1)
        before.step({"w": np.ones(3, np.float32)})
        np.testing.assert_allclose(p.data().asnumpy(), source["w"], rtol=2e-6)
    finally:
        mxnet.npx.reset_np()
