"""Keras's own names beside Keras's own optimizers: the same numbers for every option."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import inspect
import warnings

import keras
import numpy as np
import pytest

import stepwell.keras as ours
from tests.doors.keras.harness import BACKEND, LIMITS, WAYS, distance, gradients, numpy, start, train

OPTIONS = {
    "SGD": [{}, {"learning_rate": 0.3}, {"momentum": 0.9}, {"momentum": 0.7, "nesterov": True}, {"nesterov": True}],
    "RMSprop": [
        {}, {"rho": 0.7, "epsilon": 1e-3}, {"momentum": 0.5}, {"centered": True},
        {"centered": True, "momentum": 0.5, "epsilon": 1e-3},
    ],
    "Adagrad": [{}, {"learning_rate": 0.3, "initial_accumulator_value": 0.5, "epsilon": 1e-3}],
    "Adadelta": [{"learning_rate": 1.0}, {"learning_rate": 0.3, "rho": 0.5, "epsilon": 1e-3}],
    "Adam": [{}, {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-3}, {"amsgrad": True}],
    "AdamW": [{}, {"weight_decay": 0.1, "beta_1": 0.5}, {"amsgrad": True}],
    "Adamax": [{}, {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-3}],
    "Nadam": [{}, {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-3}],
    "Lion": [{}, {"beta_1": 0.5, "beta_2": 0.7}],
}  # fmt: skip
SHARED = [
    {"weight_decay": 0.1}, {"clipnorm": 0.5}, {"clipvalue": 0.5}, {"global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.7}, {"use_ema": True, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 4.0}, {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "clipnorm": 0.5, "weight_decay": 0.1},
]  # fmt: skip
CASES = [(name, options) for name, all_of_them in OPTIONS.items() for options in all_of_them]
MIXED = [(name, OPTIONS[name][-1] | options) for name in ("SGD", "Adam", "Nadam") for options in SHARED]


def pair(name, options):
    """Ours and Keras's, made alike."""
    return tuple(getattr(home, name)(**options) for home in (ours, keras.optimizers))


def label(value):
    return value if isinstance(value, str) else ",".join(f"{k}={v}" for k, v in value.items()) or "defaults"


@pytest.mark.parametrize(("name", "options"), CASES + MIXED, ids=label)
def test_it_is_keras_own(name, options, dtype):
    begin, given = start(dtype), gradients(dtype, decades=4)
    mine, theirs = (train(optimizer, begin, given) for optimizer in pair(name, options))
    assert distance(mine, theirs) <= LIMITS[dtype]


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize(
    ("name", "options"), [(name, options[-1]) for name, options in OPTIONS.items()] + MIXED, ids=label
)
def test_every_way_to_step_is_the_same(name, options, way):
    begin, given = start("float32"), gradients("float32", steps=6)
    one, other = (train(getattr(ours, name)(**options), begin, given, how) for how in (WAYS[0], way))
    assert distance(other, one) <= 1e-6


@pytest.mark.parametrize("name", OPTIONS)
def test_signatures_are_keras_own(name):
    mine, theirs = (
        [(p.name, p.default) for p in inspect.signature(getattr(home, name)).parameters.values()]
        for home in (ours, keras.optimizers)
    )
    assert mine == [*theirs[:-1], ("sparse", "exact")]
    assert theirs[-1][0] == "kwargs"


@pytest.mark.parametrize(("name", "options"), CASES, ids=label)
def test_variables_have_keras_names_shapes_and_order(name, options):
    kept = []
    for optimizer in pair(name, {"name": "optimizer", **options}):
        optimizer.build([keras.Variable(np.ones((2, 3)), name="w"), keras.Variable(np.ones(4), name="b")])
        kept.append([(v.path if "u_product" not in v.path else None, tuple(v.shape)) for v in optimizer.variables])
    if name == "Nadam":  # Keras's product of momenta has no name of its own
        kept = [[shape for _, shape in each] for each in kept]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adagrad"])
def test_a_training_of_keras_own_goes_on_here(name):
    """The weights of one are the weights of the other, where the state has the same sign."""
    begin, given = start("float32"), gradients("float32", decades=4)
    mine, theirs = pair(name, {})
    whole = train(getattr(keras.optimizers, name)(), begin, given)
    halfway = train(theirs, begin, given[:25])
    mine.build([keras.Variable(x) for x in begin])
    mine.set_weights([v.value for v in theirs.variables])
    state = [numpy(v) for v in mine.variables]
    again = getattr(ours, name)()
    variables = [keras.Variable(x) for x in halfway[-1]]
    again.build(variables)
    again.set_weights(state)
    for gs in given[25:]:
        again.apply([keras.ops.convert_to_tensor(g) for g in gs])
    assert distance([[numpy(v) for v in variables], halfway[0]], [whole[-1], whole[0]]) < 1e-5


def test_a_gradient_that_is_none_leaves_its_variable_alone_and_the_count_goes_on(dtype):
    shapes = [(5,), (7, 5)]
    begin, given = start(dtype, shapes), gradients(dtype, shapes, steps=9, decades=4)
    paths = []
    for optimizer in pair("Nadam", {}):
        variables = [keras.Variable(x, dtype=dtype) for x in begin]
        path = []
        for k, gs in enumerate(given):
            tensors = [None if (k + i) % 3 == 0 else keras.ops.convert_to_tensor(g) for i, g in enumerate(gs)]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Gradients do not exist")
                optimizer.apply(tensors, variables)
            path.append([numpy(v) for v in variables])
        paths.append(path)
    assert distance(*paths) <= LIMITS[dtype]


def test_decay_can_leave_variables_out(dtype):
    begin = [np.ones(3, dtype), np.ones(3, dtype)]
    for name in ("AdamW", "Adamw"):
        optimizer = (getattr(ours, name) if name == "AdamW" else ours.from_rule(ours.rules.classes[name].rule))(0.1)
        variables = [keras.Variable(x, dtype=dtype, name=n) for x, n in zip(begin, ("kernel", "bias"), strict=True)]
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        zeros = [keras.ops.zeros(3, dtype=dtype)] * 2
        optimizer.apply(zeros, variables)
        kernel, bias = map(numpy, variables)
        assert (kernel < 1).all()
        assert (bias == 1).all()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compiled steps are kept between calls on TensorFlow")
def test_settings_may_change_between_steps():
    begin, given = start("float32"), gradients("float32", decades=4, steps=6)
    paths = []
    for optimizer in pair("Adam", {"weight_decay": 0.1}):
        variables = [keras.Variable(x) for x in begin]
        path = []
        for k, gs in enumerate(given):
            optimizer.learning_rate = 0.01 / (k + 1)
            if k == 2:
                optimizer.beta_1, optimizer.weight_decay = 0.5, 0.2
            if k == 4:
                optimizer.clipnorm = 0.1
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in gs], variables)
            path.append([numpy(v) for v in variables])
        paths.append(path)
    assert distance(*paths) <= LIMITS["float32"]
