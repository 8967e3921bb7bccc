"""The compiled step on TensorFlow: devices, strategies, threads, files of TensorFlow's own, when it is made anew."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

import stepwell.keras as ours
from stepwell.keras import fused
from stepwell.schedules import constant


@pytest.mark.parametrize("name", ["Adam", "Nadam"])
def test_in_a_distribution_strategy(name):
    ends = []
    for home in (ours, keras.optimizers):
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        with strategy.scope():
            variable = tf.Variable(tf.ones(3))
            optimizer = getattr(home, name)(0.1)
            optimizer.build([variable])

        @tf.function
        def step(strategy=strategy, optimizer=optimizer, variable=variable):
            strategy.run(lambda: optimizer.apply([tf.constant([1.0, 2.0, -3.0])], [variable]))

        for _ in range(4):
            step()
        ends.append(variable.numpy())
    assert ends[0] == pytest.approx(ends[1], abs=2e-5)
    assert (ends[0] != 1).all()


@pytest.fixture(scope="module")
def two():
    """One for all: the collective operations of a second would be taken for those of the first."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def on_replicas(strategy, make, gradient):
    """The variable after three steps, each replica giving its own gradient."""
    with strategy.scope():
        variable, optimizer = tf.Variable(tf.ones([4, 2])), make()
        optimizer.build([variable])

    def replica():
        k = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
        optimizer.apply([gradient(k)], [variable])

    step = tf.function(lambda: strategy.run(replica))
    for _ in range(3):
        step()
    return variable.numpy()


@pytest.mark.parametrize("count", [2, None], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    "make",
    [lambda: ours.SGD(0.1), lambda: ours.Adagrad(0.1), lambda: ours.Adam(0.1), lambda: ours.Adam(0.1, sparse="lazy")],
    ids=["SGD", "Adagrad", "Adam", "Adam, lazy"],
)
def test_rows_that_several_replicas_name_are_added(two, make, count):
    def rows(k):
        values = tf.reshape((1.0 + 2.0 * k) * tf.constant([1.0, -1.0, 2.0, 0.5]), [2, 2])
        free = tf.TensorShape([count, 2])
        return tf.IndexedSlices(
            tf.compat.v1.placeholder_with_default(values, free), tf.constant([0, 2]), tf.constant([4, 2])
        )

    found = on_replicas(two, make, rows)
    assert found == pytest.approx(on_replicas(two, make, lambda k: tf.convert_to_tensor(rows(k))), abs=1e-6)
    assert (found[[0, 2]] != 1).all()


def test_all_on_another_device_than_the_first():
    for early in (True, False):
        with tf.device("CPU:1"):
            variable, optimizer = tf.Variable(tf.ones(3)), ours.Adam(0.1)
            if early:
                optimizer.build([variable])
        optimizer.apply([tf.ones(3)], [variable])
        assert optimizer._compiled
        assert variable.numpy() == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"use_ema": True}, {"gradient_accumulation_steps": 2}], ids=str)
def test_some_of_the_variables_of_two_devices(options):
    ends = []
    for home in (ours, keras.optimizers):
        with tf.device("CPU:0"):
            first = tf.Variable(tf.ones(3))
        with tf.device("CPU:1"):
            second = tf.Variable(tf.ones(3))
        optimizer = home.Adam(0.1, **options)
        optimizer.build([first, second])
        for given in ([first, second], [first], [second], [second]):
            optimizer.apply([tf.ones(3)] * len(given), given)
        ends.append([first.numpy(), second.numpy()])
    assert np.array(ends[0]) == pytest.approx(np.array(ends[1]), abs=2e-5)
    assert (np.array(ends[0]) != 1).all()


@pytest.mark.parametrize("rate", [0.1, constant(0.1)], ids=["number", "schedule"])
def test_checkpoints_and_saved_models_of_tensorflow(rate, tmp_path):
    module = tf.Module()
    module.weights = tf.Variable(tf.ones(3))
    module.optimizer = ours.Nadam(rate, use_ema=True)
    module.optimizer.build([module.weights])

    @tf.function(input_signature=[tf.TensorSpec([3])])
    def step(g):
        module.optimizer.apply([g], [module.weights])
        return module.weights.read_value()

    module.step = step
    step(tf.constant([1.0, 2.0, -3.0]))
    saved = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    tf.saved_model.save(module, str(tmp_path / "model"))
    expected = [step(tf.constant([2.0, k, -1.0])).numpy() for k in (1.0, 2.0)]

    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert np.array_equal([loaded.step(tf.constant([2.0, k, -1.0])).numpy() for k in (1.0, 2.0)], expected)
    tf.train.Checkpoint(module=module).restore(saved).assert_consumed()
    assert np.array_equal([step(tf.constant([2.0, k, -1.0])).numpy() for k in (1.0, 2.0)], expected)


def test_an_optimizer_that_is_built_again_steps_its_new_variables():
    first, second, optimizer = tf.Variable(tf.ones(3)), tf.Variable(tf.ones(3)), ours.SGD(0.1, momentum=0.9)
    optimizer.apply([tf.ones(3)], [first])
    optimizer.built = False
    optimizer.build([second])
    optimizer.apply([tf.ones(3)], [second])
    assert first.numpy() == pytest.approx(0.9)
    assert second.numpy() == pytest.approx(0.9)  # without the momentum of the first


def test_threads_may_step_variables_of_their_own():
    variables, optimizer = [tf.Variable(tf.ones(3)) for _ in range(4)], ours.SGD(constant(0.01))
    optimizer.build(variables)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda v: [optimizer.apply([tf.ones(3)], [v]) for _ in range(5)], variables))
    assert np.array(variables) == pytest.approx(0.95, abs=1e-6)


def test_few_programs_are_kept():
    variables = [tf.Variable(tf.ones(2)) for _ in range(6)]
    twins = [tf.Variable(tf.ones(2)) for _ in range(6)]
    mine, theirs = ours.Adam(0.1), keras.optimizers.Adam(0.1)
    for optimizer, given in ((mine, variables), (theirs, twins)):
        optimizer.build(given)
        for k in range(1, 15):
            some = [v for place, v in enumerate(given) if k >> place & 1]
            optimizer.apply([tf.ones(2)] * len(some), some)
    assert len(mine._compiled) == fused.PROGRAMS
    first, last = next(iter(mine._compiled)), list(mine._compiled)[-1]
    for optimizer, given in ((mine, variables), (theirs, twins)):
        for _ in range(2):
            optimizer.apply([tf.ones(2)] * 6, given)  # compiled when it comes again, in the place of the oldest
    assert len(mine._compiled) == fused.PROGRAMS
    assert first not in mine._compiled
    assert last in mine._compiled
    assert np.array(variables) == pytest.approx(np.array(twins), abs=2e-5)


def test_gradients_that_are_numbers_compile_once():
    variable, optimizer = tf.Variable([1.0, 1.0]), ours.SGD(0.1)
    for k in (1, 2, 3):
        optimizer.apply([[float(k), 0.0]], [variable])
    (made,) = optimizer._compiled.values()
    assert made.experimental_get_tracing_count() == 1
    assert variable.numpy() == pytest.approx([0.4, 1.0])


def test_a_setting_that_is_a_variable_is_read_at_each_step():
    decay, variable = tf.Variable(0.5), tf.Variable(tf.ones(2))
    optimizer = ours.SGD(0.1, weight_decay=decay)
    optimizer.apply([tf.zeros(2)], [variable])
    decay.assign(0.0)
    optimizer.apply([tf.zeros(2)], [variable])
    assert variable.numpy() == pytest.approx(0.95)


@pytest.mark.parametrize("shape", [None, [None, 2]], ids=str)
def test_variables_that_change_their_shape(shape):
    variable, optimizer = tf.Variable(tf.ones([3, 2]), shape=tf.TensorShape(shape)), ours.SGD(0.1)
    optimizer.apply([tf.ones([3, 2])], [variable])
    variable.assign(tf.ones([5, 2]))
    optimizer.apply([tf.ones([5, 2])], [variable])
    assert variable.numpy() == pytest.approx(np.full((5, 2), 0.9))
