"""Models trained by fit, saved and loaded with their optimizers."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import keras
import numpy as np
import pytest

import stepwell.keras as ours
from stepwell import rules, schedules
from stepwell.rule import rule, sign
from tests.doors.keras.harness import BACKEND, numpy
from tests.doors.keras.test_named import OPTIONS

COMPILED = {"tensorflow": ["auto", True, False], "jax": ["auto", True], "torch": ["auto", False]}[BACKEND]
X = np.random.default_rng(0).standard_normal((64, 4)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5], [0.0]], "float32") + 0.1


def model():
    layers = [keras.layers.Dense(8, activation="tanh", name="hidden"), keras.layers.Dense(1, name="out")]
    made = keras.Sequential([keras.Input((4,)), *layers], name="net")
    rng = np.random.default_rng(1)
    made.set_weights([rng.standard_normal(w.shape).astype("float32") * 0.3 for w in made.get_weights()])
    return made


def fit(optimizer, epochs=5, **compiled):
    trained = model()
    trained.compile(optimizer, loss="mse", **compiled)
    history = trained.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return trained, history.history["loss"]


@pytest.mark.parametrize("how", [*({"jit_compile": j} for j in COMPILED), {"run_eagerly": True}], ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam"])
def test_fit_is_that_of_keras_own(name, how):
    if BACKEND == "jax" and "run_eagerly" in how:
        pytest.skip("so many small steps take long there, and the eager step has a test of its own")
    (mine, losses), (theirs, expected) = (fit(getattr(home, name)(0.01), **how) for home in (ours, keras.optimizers))
    assert losses == pytest.approx(expected, rel=1e-5)
    assert losses[-1] < 0.9 * losses[0]
    for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=1e-5)


@pytest.mark.parametrize(
    "options", [{"use_ema": True}, {"gradient_accumulation_steps": 2}, {"global_clipnorm": 0.1}], ids=str
)
def test_fit_keeps_keras_machinery(options):
    (mine, losses), (theirs, expected) = (fit(home.AdamW(0.01, **options)) for home in (ours, keras.optimizers))
    assert losses == pytest.approx(expected, rel=1e-5)
    for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_a_rule_of_ones_own_is_trained_and_loaded_by_name(tmp_path):
    @rule
    def sign_descent(g, *, lr=0.01):
        return lr * sign(g)

    kind = ours.from_rule(sign_descent)
    trained, losses = fit(kind(0.01))
    assert losses[-1] < losses[0]
    trained.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match="Could not locate class 'SignDescent'"):
        keras.models.load_model(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"SignDescent": kind})
    assert type(again.optimizer) is kind


ALL = [ours.SGD(0.05, momentum=0.9), ours.Adam(amsgrad=True), *(getattr(ours, name)() for name in OPTIONS)]
ALL += [kind(0.01) for kind in ours.rules.classes.values()]


@pytest.mark.parametrize("optimizer", ALL, ids=lambda o: type(o).__qualname__)
def test_an_optimizer_is_its_configuration(optimizer):
    written = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.get(written)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert keras.optimizers.get(optimizer) is optimizer


@pytest.mark.parametrize("kind", [ours.Adam, ours.rules.classes["Adam"], ours.Nadam, ours.Yogi], ids=str)
def test_a_saved_model_goes_on_as_if_it_had_never_stopped(kind, tmp_path):
    rate = schedules.warmup(4, 0.02).then(schedules.cosine(40, 0.02))
    whole, _ = fit(kind(rate), epochs=6)
    half, _ = fit(kind(rate), epochs=3)
    half.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is kind
    assert again.optimizer.get_config() == half.optimizer.get_config()
    again.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for a, b, c in zip(again.get_weights(), whole.get_weights(), half.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=1e-6)
        assert not np.array_equal(a, c)


def test_keras_finds_our_classes_by_their_registered_names():
    assert type(keras.optimizers.get("stepwell>Adam")) is ours.Adam
    assert type(keras.optimizers.get("stepwell.rules>Yogi")) is ours.Yogi
    assert isinstance(keras.optimizers.get("adam"), keras.optimizers.Adam)


def test_loss_scaling_and_other_wrappers():
    wrapped = keras.optimizers.LossScaleOptimizer(ours.Adam(0.01), initial_scale=8.0)
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=8.0)
    (_, losses), (_, expected) = fit(wrapped), fit(own)
    assert losses == pytest.approx(expected, rel=1e-5)


def test_the_rate_may_be_set_by_callbacks():
    seen = []
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1)),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: seen.append(float(numpy(trained.optimizer.learning_rate)))
        ),
    ]
    trained = model()
    trained.compile(ours.SGD(0.5), loss="mse")
    trained.fit(X, Y, epochs=3, verbose=0, callbacks=callbacks)
    assert seen == pytest.approx([0.1, 0.05, 0.1 / 3], rel=1e-6)


KERAS = {name.lower() for name in dir(keras.optimizers)}


def test_every_rule_has_a_class():
    for name, one in rules.named.items():
        kind = next(kind for kind in ours.rules.classes.values() if kind.rule is one)
        assert getattr(ours, kind.__name__, None) is kind or kind.__name__.lower() in KERAS, name
