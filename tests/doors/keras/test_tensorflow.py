"""What only TensorFlow has: sparse gradients, tapes, functions."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import keras
import numpy as np
import pytest
import tensorflow as tf

import stepwell.keras as ours
from stepwell import rules
from stepwell.keras import fused
from stepwell.rule import rule
from tests.doors.keras.test_named import OPTIONS, SHARED, label

ROWS, WIDTH = 9, 3
NAMED = [(name, options) for name, all_of_them in OPTIONS.items() for options in all_of_them[-1:]]


def sparse_gradients(repeated, steps=6):
    rng = np.random.default_rng(0)
    for k in range(steps):
        rows = rng.choice(ROWS - 2, 4, replace=repeated)
        yield tf.IndexedSlices(
            tf.constant(rng.standard_normal((4, WIDTH)) * 10.0 ** (k % 4 - 2), tf.float32), tf.constant(rows),
            tf.constant([ROWS, WIDTH]),
        )  # fmt: skip


def trained(optimizer, given, way="eager"):
    table = tf.Variable(np.random.default_rng(1).standard_normal((ROWS, WIDTH)), dtype=tf.float32)
    other = tf.Variable(tf.ones(4))
    optimizer.build([table, other])

    def step(g):
        optimizer.apply([g, tf.ones(4)], [table, other])

    run = step if way == "eager" else tf.function(step, jit_compile=way == "jit_compile", autograph=False)
    for g in given:
        run(g)
    return table.numpy()


@pytest.mark.parametrize(
    ("name", "options"), NAMED + [("Adam", s) for s in SHARED if "loss_scale_factor" not in s], ids=label
)
def test_rows_that_come_once_are_stepped_as_keras_does(name, options):
    given = list(sparse_gradients(repeated=False))
    mine, theirs = (
        trained(getattr(home, name)(**{"learning_rate": 0.1} | options), given) for home in (ours, keras.optimizers)
    )
    assert mine == pytest.approx(theirs, abs=2e-5)  # Keras's powers of β in single precision


@pytest.mark.parametrize("way", ["eager", "tf.function", "jit_compile"])
@pytest.mark.parametrize(
    ("name", "options"), [*NAMED, ("SGD", {"clipnorm": 0.1}), ("Adam", {"global_clipnorm": 0.1})], ids=label
)
def test_rows_that_come_again_are_added_first(name, options, way):
    """Keras squares each before it adds them: its Adam, Nadam, RMSprop, Adagrad and Adadelta differ."""
    given = list(sparse_gradients(repeated=True))
    dense = [tf.convert_to_tensor(g) for g in given]
    mine, expected = (trained(getattr(ours, name)(**{"learning_rate": 0.1} | options), g, way) for g in (given, dense))
    assert mine == pytest.approx(expected, abs=2e-6)


def test_keras_own_squares_repeated_rows_apart():
    given = list(sparse_gradients(repeated=True))
    dense = [tf.convert_to_tensor(g) for g in given]
    mine, expected = (trained(keras.optimizers.Adam(0.1), g) for g in (given, dense))
    assert abs(mine - expected).max() > 0.01


@pytest.mark.parametrize("way", ["eager", "tf.function", "jit_compile"])
@pytest.mark.parametrize("name", ["adam", "momentum", "adagrad_rowwise", "nadam", "lion"])
def test_lazy_leaves_other_rows_and_their_state_alone(name, way):
    kind = ours.from_rule(rules.named[name])
    optimizer = kind(0.1, sparse="lazy")
    given = list(sparse_gradients(repeated=True))
    found = trained(optimizer, given, way)
    rule_, hyper = rules.named[name], rules.named[name].complete({"lr": 0.1})
    p = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype("float32").astype("float64")
    program = optimizer._program
    state = {s: np.full(program.shape_of(s, p.shape), rule_.start_of(s, hyper)) for s in rule_.state}
    for t, g in enumerate(given, 1):
        rows = np.unique(g.indices.numpy())
        dense = tf.convert_to_tensor(g).numpy()[rows].astype("float64")
        here = {s: x if s in program.scalar_state else x[rows] for s, x in state.items()}
        change, *new = rule_.bind({"p": p[rows], "g": dense, "t": t, **here}, hyper)
        p[rows] -= change
        for s, x in zip(rule_.state, new, strict=True):
            if s in program.scalar_state:
                state[s] = x
            else:
                state[s][rows] = x
    assert found == pytest.approx(p, abs=2e-6)
    start = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype("float32")
    assert (found[-2:] == start[-2:]).all()
    assert (found != start).any()


def test_only_named_rows_are_touched_where_the_rule_leaves_others():
    """A row of NaN in the state of another row would show."""
    for optimizer in (ours.SGD(0.1), ours.Adagrad(0.1)):
        table = tf.Variable(tf.ones([4, 2]))
        optimizer.build([table])
        for variable in optimizer.variables[2:]:
            variable.assign(np.array([[1, 1], [np.nan, np.nan], [1, 1], [1, 1]], "float32"))
        optimizer.apply([tf.IndexedSlices(tf.ones([1, 2]), tf.constant([2]), tf.constant([4, 2]))], [table])
        assert np.isfinite(table.numpy()).all()
        assert (table.numpy()[2] != 1).all()
        assert (table.numpy()[[0, 1, 3]] == 1).all()


def test_an_embedding_is_fitted():
    words = np.random.default_rng(0).integers(0, 50, (64, 5))
    for compiled in (True, False):
        histories = []
        for optimizer in (ours.SGD(0.5), ours.Adam(0.05), ours.Adam(0.05, sparse="lazy")):
            layers = [keras.layers.Embedding(60, 4), keras.layers.Flatten(), keras.layers.Dense(1)]
            net = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
            net.compile(optimizer, loss="mse", jit_compile=compiled)
            histories.append(net.fit(words, words.sum(1) / 100.0, epochs=4, verbose=0).history["loss"])
        assert all(losses[-1] < losses[0] for losses in histories)


@pytest.mark.parametrize("way", ["eager", "tf.function", "jit_compile"])
def test_a_loop_with_a_tape(way):
    ends = []
    for home in (ours, keras.optimizers):
        w, b = tf.Variable([1.0, -1.0]), tf.Variable(0.5)
        optimizer = home.Adam(0.1, weight_decay=0.01)

        def step(optimizer=optimizer, w=w, b=b):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((w * [2.0, 3.0] + b - 1.0) ** 2)
            optimizer.apply_gradients(zip(tape.gradient(loss, [w, b]), [w, b], strict=True))
            return loss

        optimizer.build([w, b])
        run = step if way == "eager" else tf.function(step, jit_compile=way == "jit_compile", autograph=False)
        losses = [float(run()) for _ in range(10)]
        assert losses[-1] < losses[0]
        ends.append([*w.numpy(), b.numpy()])
        assert int(optimizer.iterations) == 10
    assert ends[0] == pytest.approx(ends[1], abs=2e-5)


def test_what_was_read_before_a_step_stays_as_it_was():
    variable = tf.Variable(tf.ones(1000))
    optimizer = ours.Adam(0.1)
    for _ in range(3):
        before = variable.read_value()
        copy = before.numpy().copy()
        optimizer.apply([tf.ones(1000)], [variable])
        assert (before.numpy() == copy).all()
        assert (variable.numpy() != copy).all()


def test_constraints_hold():
    variable = keras.Variable(np.ones(3, "float32"))
    variable.constraint = keras.constraints.NonNeg()
    ours.SGD(10.0).apply([tf.ones(3)], [variable])
    assert (variable.numpy() == 0).all()


def test_without_a_compiler_the_step_is_the_same(monkeypatch):
    given = [tf.random.stateless_normal([5], (k, 0)) for k in range(5)]
    ends = []
    for compiler in (True, False):
        monkeypatch.setattr(fused, "compiles", lambda device, answer=compiler: answer)
        variable, optimizer = tf.Variable(tf.ones(5)), ours.Nadam(0.1, clipnorm=0.5, use_ema=True)
        for g in given:
            optimizer.apply([g], [variable])
        ends.append(variable.numpy())
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)
    assert fused.compiles.__name__ == "<lambda>"


def test_a_build_that_does_not_compile_is_found_out(monkeypatch):
    device = tf.Variable(0.0).device
    assert fused.compiles(device)

    def refuse(*args, **kwargs):
        raise tf.errors.UnimplementedError(None, None, "no XLA here")

    monkeypatch.setattr(tf, "function", refuse)
    assert not fused.compiles.__wrapped__(device)


@rule
def largest(g, m, *, lr=0.1):
    """The largest gradient so far."""
    from stepwell.rule import maximum

    m = maximum(m, g)
    return lr * m, m


@pytest.mark.parametrize("way", ["eager", "tf.function", "jit_compile"])
def test_nan_stays_nan_in_the_largest_of_two(way):
    """XLA's own maximum drops the NaN of its second argument."""
    variable, optimizer = tf.Variable(tf.ones(3)), ours.from_rule(largest)()
    optimizer.build([variable])

    def step(g):
        optimizer.apply([g], [variable])

    run = step if way == "eager" else tf.function(step, jit_compile=way == "jit_compile", autograph=False)
    run(tf.constant([1.0, np.nan, 2.0]))
    run(tf.constant([3.0, 1.0, np.nan]))
    assert np.isnan(variable.numpy()).tolist() == [False, True, True]


def test_a_state_of_a_step_is_not_kept_alive_by_its_program():
    import gc
    import weakref

    optimizer, variable = ours.Adam(0.1), tf.Variable(tf.ones(3))
    optimizer.apply([tf.ones(3)], [variable])
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None
