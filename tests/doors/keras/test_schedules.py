"""Learning rates that change: Keras's schedules here, and this library's there."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import keras
import numpy as np
import pytest

import stepwell.keras as ours
from stepwell import schedules
from tests.doors.keras.harness import LIMITS, WAYS, distance, gradients, numpy, start, train

SCHEDULES = [
    *(schedules.example(name) for name in schedules.named()),
    1e-3 * schedules.warmup(5).then(schedules.cosine(20, end=0.1)),
    schedules.multi_factor([3, 9], rate=0.5).per_epoch(4),
    schedules.cosine_restarts(7, mult=3, rate=0.3, end=0.01),
    schedules.one_cycle(40, three_phase=True),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_is_itself_on_tensors_and_in_files(schedule, dtype):
    wrapped = ours.Schedule(schedule)
    steps = [0, 1, 2, 3, 5, 7, 8, 20, 27, 28, 91, 100, 364, 1000]
    found = [float(numpy(wrapped(keras.ops.convert_to_tensor(k, dtype="int32")))) for k in steps]
    exact = keras.config.backend() != "jax" or dtype == "float64"
    assert found == pytest.approx(
        [schedule(k) for k in steps], rel=1e-12 if exact else 1e-6, abs=1e-16 if exact else 1e-9
    )
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(wrapped))
    assert again.schedule == schedule


@pytest.mark.parametrize("way", WAYS)
def test_a_schedule_is_followed(way, dtype):
    """A sum of gradients of 1 is the sum of rates."""
    schedule = schedules.warmup(3, 0.5).then(schedules.linear(10, 0.5))
    begin, ones = [np.zeros(2, dtype)], [[np.ones(2, dtype)]] * 8
    for kind in (ours.SGD, keras.optimizers.SGD):
        path = train(kind(ours.Schedule(schedule)), begin, ones, way)
        assert path[-1][0] == pytest.approx(-sum(map(schedule, range(8))), rel=LIMITS[dtype])
    assert train(ours.SGD(schedule), begin, ones, way)[-1][0] == pytest.approx(path[-1][0], rel=LIMITS[dtype])


@pytest.mark.parametrize("way", WAYS)
def test_a_schedule_of_keras_is_followed(way):
    begin, given = start("float32"), gradients("float32", steps=9, decades=4)
    paths = []
    for home in (ours, keras.optimizers):
        rate = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
        paths.append(train(home.Adam(rate), begin, given, way))
    assert distance(*paths) <= 5e-5


def test_a_function_without_arguments_is_asked_at_every_step():
    rates = iter([1.0, 0.5, 0.25])
    path = train(ours.SGD(lambda: next(rates)), [np.zeros(2, "float32")], [[np.ones(2, "float32")]] * 3, "eager")
    assert path[-1][0] == pytest.approx([-1.75, -1.75])


def test_a_rate_may_become_a_schedule():
    optimizer = ours.SGD(1.0)
    optimizer.learning_rate = schedules.constant(0.25)
    path = train(optimizer, [np.zeros(2, "float32")], [[np.ones(2, "float32")]] * 2)
    assert path[-1][0] == pytest.approx([-0.5, -0.5])
    assert ours.SGD.from_config(optimizer.get_config()).get_config() == optimizer.get_config()


class Mine(schedules.Schedule):
    def formula(self, k, xp):
        return 1.0 / (k + 1)


def test_a_schedule_that_cannot_be_saved_says_so():
    optimizer = ours.SGD(Mine())
    train(optimizer, [np.zeros(2, "float32")], [[np.ones(2, "float32")]] * 2)
    with pytest.raises(TypeError, match="only a schedule that is a dataclass can be saved"):
        optimizer.get_config()
    with pytest.raises(ValueError, match="the schedule 'Unheard' is unknown"):
        ours.Schedule.from_config({"schedule": {"kind": "Unheard", "arguments": {}}})


def test_what_is_no_schedule_is_refused():
    with pytest.raises(TypeError, match=r"schedule must be one of stepwell\.schedules; got 0\.1"):
        ours.Schedule(0.1)
    with pytest.raises(TypeError, match=r"must not be a reduce_on_plateau.*keras\.callbacks\.ReduceLROnPlateau"):
        ours.Adam(schedules.reduce_on_plateau(0.1))
