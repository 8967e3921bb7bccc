"""One backend a run: KERAS_BACKEND names it, TensorFlow unless said."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

BACKEND = keras.config.backend()
collect_ignore_glob = {
    "tensorflow": [],
    "jax": ["test_book.py", "test_tensorflow*.py", "test_versions.py"],  # the last asks in double precision
    "torch": ["test_book.py", "test_tensorflow*.py"],
}[BACKEND]
if BACKEND == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
FOREIGN = ["ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"]  # a variable of Keras


def pytest_collection_modifyitems(items):
    """Warnings of others' making are no errors."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for each in FOREIGN:
                item.add_marker(pytest.mark.filterwarnings(each))


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Keras's default dtype for the test, with double precision allowed where JAX has to be told."""
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    if BACKEND == "jax":
        import jax

        with jax.enable_x64(request.param == "float64"):
            yield request.param
    else:
        yield request.param
    keras.config.set_floatx(before)
