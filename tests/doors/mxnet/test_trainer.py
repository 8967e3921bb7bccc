# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""In gluon.Trainer and Module: by name and by instance, with every kind of store, rate and decay; saved and loaded."""

import copy
import pickle

import mxnet
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import stepwell.mxnet
from stepwell import rules, schedules
from stepwell.rule import Rate, rule, sign
from tests.doors.mxnet.harness import arrays, difference, give, gradients, parameters, path

LIMIT = 2e-6
NAMES = ("first_weight", "second_bias")


@rule
def sign_descent(g, *, lr: Rate = 0.1):
    """The sign of the gradient."""
    return lr * sign(g)


def trained(make, steps=20, params=None, change=lambda *_: None, size=2, **options):
    """The parameters after steps of a trainer that `make` makes of them."""
    params = parameters(dict(zip(NAMES, arrays(), strict=True))) if params is None else params
    trainer = make(list(params.values()), **options)
    for k in range(steps):
        for p, g in zip(params.values(), gradients()[k], strict=True):
            give(p, g)
        change(trainer, params, k)
        trainer.step(size)
    return [[p.data().asnumpy().astype("f8") for p in params.values()]]


def by(optimizer, options=None, **store):
    return lambda params, **more: gluon.Trainer(params, optimizer, options, **{**store, **more})


STORES = [{}, {"kvstore": "local"}, {"update_on_kvstore": False}, {"kvstore": "local", "update_on_kvstore": True},
          {"kvstore": None}]  # fmt: skip


def on_a_store(params, optimizer, options, store):
    """A trainer whose store takes part also where there is one device."""
    kind = store.get("kvstore", "device")
    return gluon.Trainer(params, optimizer, options, **{**store, "kvstore": kind and mxnet.kv.create(kind)})


@pytest.mark.parametrize("store", STORES, ids=str)
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "adadelta"])
def test_every_kind_of_store(name, store):
    options = {"wd": 0.125, "beta2": 1 - 2.0**-10} if name == "adam" else {"wd": 0.125}
    ours, theirs = (
        trained(lambda params, which=which: on_a_store(params, which, dict(options), store))
        for which in (f"stepwell_{name}", name)
    )
    assert difference(ours, theirs) <= LIMIT


def test_by_name_and_by_instance_it_is_the_same():
    one = trained(by("stepwell_adam", {"learning_rate": 0.5, "wd": 0.25}))
    other = trained(by(stepwell.mxnet.Adam(learning_rate=0.5, wd=0.25)))
    assert difference(one, other) == 0
    assert difference(one, trained(by("stepwell_adam", {"learning_rate": 0.25, "wd": 0.25}))) > 0.01


def test_mxnets_names_stay_mxnets():
    registry = mxnet.optimizer.Optimizer.opt_registry
    for name in ("sgd", "nag", "signum", "adam", "adagrad", "rmsprop", "adadelta", "adamax", "nadam", "groupadagrad"):
        assert registry[name].__module__.startswith("mxnet.")
        assert registry[f"stepwell_{name}"].__module__ == "stepwell.mxnet.named"
    for name, one in rules.named.items():
        made = mxnet.optimizer.create(f"stepwell_{name}")
        if made.__class__.__module__ != "stepwell.mxnet.named":
            assert made.rule is one


def test_factors_of_single_parameters():
    def with_factors(trainer, params, k):
        params[NAMES[0]].lr_mult, params[NAMES[1]].wd_mult = 0.5 * (k % 3), 0.0

    options = {"learning_rate": 0.25, "wd": 0.125}
    ours, theirs = (trained(by(n, dict(options)), change=with_factors) for n in ("stepwell_sgd", "sgd"))
    assert difference(ours, theirs) <= LIMIT
    assert difference(ours, trained(by("sgd", dict(options)))) > 0.01


@pytest.mark.parametrize("kind", ["SGD", "AdaGrad"])
def test_factors_by_name_without_a_trainer(kind):
    """The decay of what is neither a weight nor a gamma is 0 where names are known."""

    def made(module):
        optimizer = getattr(module, kind)(wd=0.5, param_idx2name=dict(enumerate(NAMES)))
        optimizer.set_lr_mult({"first_weight": 0.5})
        return path(optimizer, gradients())

    assert difference(made(stepwell.mxnet), made(mxnet.optimizer)) <= LIMIT


SCHEDULERS = [
    lambda: mxnet.lr_scheduler.FactorScheduler(3, 0.5, base_lr=0.5, warmup_steps=2),
    lambda: mxnet.lr_scheduler.CosineScheduler(15, base_lr=0.5, final_lr=0.125),
]


@pytest.mark.parametrize("make", SCHEDULERS)
@pytest.mark.parametrize("begin", [0, 4])
def test_mxnets_schedulers(make, begin):
    options = {"learning_rate": 0.5, "begin_num_update": begin}
    ours, theirs = (trained(by(n, {**options, "lr_scheduler": make()})) for n in ("stepwell_sgd", "sgd"))
    assert difference(ours, theirs) <= LIMIT


@pytest.mark.parametrize("argument", ["learning_rate", "lr_scheduler"])
def test_a_schedule_counts_from_0(argument):
    schedule = 0.5 * schedules.linear(20)
    seen = []

    def hand_set(trainer, params, k):
        trainer.set_learning_rate(schedule(k))

    def look(trainer, params, k):
        seen.append(trainer.learning_rate)

    ours = trained(by("stepwell_sgd", {argument: schedule}), change=look)
    assert difference(ours, trained(by("sgd"), change=hand_set)) <= LIMIT
    assert seen[:3] == [0.5, 0.5, 0.475]  # the rate of the step before
    with pytest.raises(UserWarning):
        by("stepwell_sgd", {argument: schedule})(list(parameters({"w": np.ones(3)}).values())).set_learning_rate(0.5)


def test_the_rate_is_set_and_read():
    trainer = by("stepwell_adam")(list(parameters({"w": np.ones(3)}).values()))
    assert trainer.learning_rate == 0.001
    trainer.set_learning_rate(0.5)
    assert trainer.learning_rate == trainer.optimizer.lr == 0.5
    with pytest.raises(ValueError, match="lr must be a finite number ≥ 0; got -1"):
        trainer.set_learning_rate(-1)


@pytest.mark.parametrize("store", STORES, ids=str)
@pytest.mark.parametrize(
    "optimizer",
    ["stepwell_adam", "stepwell_nadam", "stepwell_yogi", lambda: stepwell.mxnet.from_rule(sign_descent)(lr=0.25)],
    ids=["adam", "nadam", "yogi", "a user's rule"],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # MXNet's store leaves it to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_states_saved_and_loaded(optimizer, store, tmp_path):
    """The next steps are those of an uninterrupted run, rate and count included."""

    def make(params):
        made = optimizer if isinstance(optimizer, str) else optimizer()
        return on_a_store(params, made, {"learning_rate": 0.25} if isinstance(made, str) else None, store)

    def turn(trainer, params, k):
        if k == 8:
            trainer.save_states(str(tmp_path / "states"))
            other = make(list(params.values()))
            other.load_states(str(tmp_path / "states"))
            vars(trainer).update(vars(other))
            assert set(trainer.optimizer.param_dict) == {0, 1}

    def forget(trainer, params, k):
        if k == 8:
            vars(trainer).update(vars(make(list(params.values()))))

    assert difference(trained(make, change=turn), trained(make)) == 0
    if optimizer in ("stepwell_adam", "stepwell_nadam"):
        assert difference(trained(make, change=forget), trained(make)) > 1e-3


@pytest.mark.parametrize("made", [stepwell.mxnet.Adam(wd=0.5), stepwell.mxnet.Yogi(lr=0.5 * schedules.linear(9))])
def test_optimizers_are_pickled_and_copied(made):
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert type(again) is type(made)
        assert difference(path(again, gradients()), path(copy.deepcopy(made), gradients())) == 0


def test_two_devices_have_states_of_their_own():
    def run(name):
        params = parameters({"w": arrays()[0]})
        p = params["w"]
        p.reset_ctx([mxnet.cpu(0), mxnet.cpu(1)])
        trainer = gluon.Trainer([p], name, {"learning_rate": 0.25, "beta2": 1 - 2.0**-10}, update_on_kvstore=False)
        for k in range(10):
            for ctx in p.list_ctx():
                p.grad(ctx)[:] = nd.array(gradients()[k][0], ctx=ctx) * (1 + ctx.device_id)
                p.data(ctx)._fresh_grad = True
            trainer.step(1)
        return [[x.asnumpy().astype("f8") for x in p.list_data()]]

    ours, theirs = run("stepwell_adam"), run("adam")
    assert difference(ours, theirs) <= LIMIT
    assert (ours[0][0] == ours[0][1]).all()


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_network_learns_as_with_mxnets(hybrid):
    rng = np.random.default_rng(0)
    x, y = nd.array(rng.standard_normal((64, 8))), nd.array(rng.standard_normal((64, 1)))

    def run(name):
        mxnet.random.seed(0)
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(16, activation="tanh"), gluon.nn.BatchNorm(), gluon.nn.Dense(1))
        net.initialize(mxnet.init.Xavier())
        if hybrid:
            net.hybridize()
        trainer, losses = gluon.Trainer(net.collect_params(), name, {"learning_rate": 0.25, "momentum": 0.5}), []
        for _ in range(10):
            with autograd.record():
                loss = gluon.loss.L2Loss()(net(x), y)
            loss.backward()
            trainer.step(64)
            losses.append(loss.mean().asscalar())
        return losses

    ours, theirs = run("stepwell_sgd"), run("sgd")
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert ours[-1] < 0.9 * ours[0]


def test_arrays_of_the_numpy_interface():
    with mxnet.util.np_shape(True), mxnet.util.np_array(True):
        w, g = mxnet.np.array([1.0, 2.0]), mxnet.np.array([4.0, -4.0])
        update = mxnet.optimizer.get_updater(stepwell.mxnet.SGD(learning_rate=0.25))
        update([0], [g], [w])
        assert w.asnumpy().tolist() == [0.0, 3.0]


def test_module():
    rng = np.random.default_rng(0)
    data = mxnet.io.NDArrayIter(rng.standard_normal((32, 4)).astype("f"), rng.integers(0, 2, 32).astype("f"), 8)

    def run(name):
        mxnet.random.seed(0)
        net = mxnet.sym.SoftmaxOutput(mxnet.sym.FullyConnected(mxnet.sym.var("data"), num_hidden=2), name="softmax")
        module = mxnet.mod.Module(net)
        data.reset()
        options = {"learning_rate": 0.25, "wd": 0.125, "beta2": 1 - 2.0**-10}
        module.fit(data, num_epoch=3, optimizer=name, optimizer_params=options, initializer=mxnet.init.Uniform(0.5))
        return [[x.asnumpy().astype("f8") for _, x in sorted(module.get_params()[0].items())]]

    assert difference(run("stepwell_adam"), run("adam")) <= 1e-5
