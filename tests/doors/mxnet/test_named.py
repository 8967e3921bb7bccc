# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""MXNet's own optimizers beside ours of the same names, step by step, with every option that they have."""

import inspect

import mxnet
import numpy as np
import pytest

import stepwell.mxnet
from tests.doors.mxnet.harness import difference, gradients, path

B1, B2 = 0.875, 1 - 2.0**-10  # exact in single precision, in which MXNet's kernels read them
OPTIONS = {
    "SGD": [{}, {"momentum": B1}],
    "NAG": [{}, {"momentum": B1}],
    "Signum": [{}, {"momentum": B1, "wd_lh": 0.03125}, {"momentum": 0.0}],
    "Adam": [{"beta2": B2}, {"beta1": B1, "beta2": B2, "epsilon": 1e-3}],
    "AdaGrad": [{}, {"eps": 1e-2}],
    "RMSProp": [
        {}, {"gamma1": B1, "epsilon": 1e-3}, {"clip_weights": 0.5}, {"centered": True},
        {"centered": True, "gamma1": B1, "gamma2": 0.75, "epsilon": 1e-3, "clip_weights": 0.5},
    ],
    "AdaDelta": [{}, {"rho": B1, "epsilon": 1e-3}],
    "Adamax": [{}, {"beta1": B1, "beta2": B2}],
    "Nadam": [{"beta2": B2}, {"beta1": B1, "beta2": B2, "epsilon": 1e-3, "schedule_decay": 0.25}],
}  # fmt: skip
SURROUND = {
    "alone": {},
    "rate": {"learning_rate": 0.125},
    "decay": {"wd": 0.0625},
    "clipped": {"clip_gradient": 0.5, "rescale_grad": 0.25},
    "all": {"wd": 0.0625, "clip_gradient": 0.5, "rescale_grad": -0.25, "learning_rate": 0.25, "begin_num_update": 7},
}
SINGLE_ONLY = ("AdaGrad", "RMSProp", "AdaDelta", "GroupAdaGrad")  # MXNet's have states of float32 and nothing else
CASES = [
    pytest.param(name, {**given, **more}, dtype, id=f"{name}-{k}-{surround}-{dtype}")
    for name, options in OPTIONS.items()
    for k, given in enumerate(options)
    for surround, more in SURROUND.items()
    for dtype in ("float32", "float64")
    if not (dtype == "float64" and name in SINGLE_ONLY)
]
LIMIT = 2e-6


def original(name):
    return getattr(mxnet.optimizer, name, None) or getattr(mxnet.optimizer.contrib, name)


def apart(name, options, given) -> float:
    """How far ours goes from MXNet's."""
    if name == "AdaDelta":
        options = {key: x for key, x in options.items() if key != "learning_rate"}
    ours, theirs = (path(kind(**options), given) for kind in (getattr(stepwell.mxnet, name), original(name)))
    return difference(ours, theirs)


def test_every_name_is_compared():
    named = {name for name, kind in vars(stepwell.mxnet).items() if getattr(kind, "__module__", "").endswith(".named")}
    assert named == {*OPTIONS, "GroupAdaGrad"}


@pytest.mark.parametrize("name", [*OPTIONS, "GroupAdaGrad"])
def test_arguments_and_defaults_are_mxnets(name):
    ours, theirs = (inspect.signature(kind) for kind in (getattr(stepwell.mxnet, name), original(name)))
    assert [(p.name, p.default, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.default, p.kind) for p in theirs.parameters.values()
    ]
    assert getattr(stepwell.mxnet, name)().lr == original(name)().lr


@pytest.mark.parametrize(("name", "options", "dtype"), CASES)
def test_the_numbers_are_mxnets(name, options, dtype):
    given = gradients(dtype)
    if name == "Nadam":
        given = [step[:1] for step in given]  # of one parameter: see TestDifferences
    if name == "NAG" and options.get("wd"):  # and for these two too
        options = {**options, "momentum": 0.0}
    if name == "Signum" and options.get("momentum") == 0 and "rescale_grad" in options:
        options = {**options, "rescale_grad": 0.25}
    assert apart(name, options, given) <= LIMIT


@pytest.mark.parametrize("options", [{}, {"eps": 1e-2, "clip_gradient": 0.5, "rescale_grad": 0.25}], ids=str)
def test_rates_of_rows_are_mxnets(options):
    assert apart("GroupAdaGrad", options, [step[:1] for step in gradients()]) <= LIMIT


@pytest.mark.parametrize("name", OPTIONS)
def test_a_rate_that_changes_changes_ours_alike(name):
    """Where a rate enters, into the velocity or beside it, is seen only when it changes."""

    def change(optimizer, step):
        optimizer.set_learning_rate(0.125 / (1 + step % 3))

    given = [step[:1] for step in gradients()]
    options = OPTIONS[name][1]
    ours, theirs = (path(kind(**options), given, change) for kind in (getattr(stepwell.mxnet, name), original(name)))
    assert difference(ours, theirs) <= LIMIT


@pytest.mark.parametrize("name", OPTIONS)
def test_half_precision_with_a_copy_in_single_is_mxnets(name):
    """Within a unit in the last place of float16: the copies agree as float32 does."""
    given = [[g.astype("float16") for g in step[:1]] for step in gradients(steps=12)]
    options = {**OPTIONS[name][0], "multi_precision": True, "learning_rate": 0.125}
    if name == "AdaDelta":
        del options["learning_rate"]
    ours, theirs = (path(kind(**options), given) for kind in (getattr(stepwell.mxnet, name), original(name)))
    assert difference(ours, theirs) <= 2.0**-10


def test_another_formula_is_told(monkeypatch):
    """What the comparison must not let pass: RMSProp's ε beside its root, momentum with its rate outside, no step."""
    from stepwell import rules

    given = gradients()
    for name, right, wrong in (
        ("RMSProp", "rmsprop_eps_inside", rules.rmsprop),
        ("Adam", "adam_eps_hat", rules.adam),
        ("AdaGrad", "adagrad_eps_inside", rules.adagrad),
    ):
        monkeypatch.setattr(f"stepwell.rules.{right}", wrong)
        assert apart(name, OPTIONS[name][1], given) > 100 * LIMIT
    monkeypatch.setattr(stepwell.mxnet.SGD, "_step", lambda *_: None)
    assert apart("SGD", {}, given) > 100 * LIMIT


class TestDifferences:
    """Where MXNet's numbers are others: the table of docs/doors/mxnet.md."""

    def test_adam_rounds_the_decay_inside_but_not_in_its_correction(self):
        """1 - β₂ is 1.3e-5 too small where it stands in single precision, so steps are up to 6.4e-6 too long."""
        assert (1 - float(np.float32(0.999))) / 0.001 == pytest.approx(1 - 1.29e-5, abs=1e-7)
        assert 3e-6 < apart("Adam", {"learning_rate": 0.125}, gradients()) < 1e-5

    def test_nag_adds_the_decay_of_the_new_parameter_to_its_velocity(self):
        assert 1e-2 < apart("NAG", {"momentum": B1, **SURROUND["all"]}, gradients()) < 0.5

    def test_nadam_multiplies_one_product_of_momenta_for_all_parameters(self):
        assert apart("Nadam", {"beta2": B2, "learning_rate": 0.125}, gradients()) > 1e-2

    def test_signum_without_momentum_does_not_look_at_the_factor_on_gradients(self):
        given = [[np.ones((7, 5), np.float32)]]
        ends = [path(kind(momentum=0.0, rescale_grad=-1.0, learning_rate=0.5), given)[0][0][0, 0]
                for kind in (mxnet.optimizer.Signum, stepwell.mxnet.Signum)]  # fmt: skip
        assert ends[1] - ends[0] == pytest.approx(1.0)

    def test_adamax_divides_0_by_0_where_no_gradient_has_come(self):
        given = [[np.zeros((7, 5), np.float32)]]
        assert np.isnan(path(mxnet.optimizer.Adamax(), given)[0][0]).all()
        assert np.isfinite(path(stepwell.mxnet.Adamax(), given)[0][0]).all()

    @pytest.mark.parametrize("name", SINGLE_ONLY)
    def test_some_take_no_double_precision(self, name):
        given = [step[:1] for step in gradients("float64")]
        with pytest.raises(mxnet.base.MXNetError):
            path(original(name)(), given)
        assert np.isfinite(path(getattr(stepwell.mxnet, name)(), given)[-1][0]).all()

    def test_adadelta_changes_the_gradient_it_is_given(self):
        for kind, kept in ((mxnet.optimizer.AdaDelta, False), (stepwell.mxnet.AdaDelta, True)):
            w, g = mxnet.nd.ones(3), mxnet.nd.ones(3)
            mxnet.optimizer.get_updater(kind(rescale_grad=0.5))(0, g, w)
            assert bool((g.asnumpy() == 1).all()) is kept

    def test_a_bound_of_0_is_refused(self):
        with pytest.raises(ValueError, match="clip_gradient must be a finite number > 0; got 0"):
            stepwell.mxnet.SGD(clip_gradient=0)
