"""The digits, as rows of pixels and as images."""

import numpy as np

from stepwell.lab import tasks


def test_digits_are_split_once_and_all_used() -> None:
    rows = tasks.digits().data
    assert rows.inputs.shape == (1437, 64)
    assert rows.measured_inputs.shape == (360, 64)
    assert (rows.inputs.min(), rows.inputs.max()) == (0, 1)
    assert np.bincount(rows.measured_targets).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert tasks.digits().steps() == 345


def test_the_images_are_the_same_digits() -> None:
    flat, images = tasks.digits().data, tasks.digits_cnn().data
    assert images.inputs.shape == (1437, 1, 8, 8)
    assert np.array_equal(images.inputs[5, 0, 2], flat.inputs[5, 16:24])
    assert np.array_equal(images.measured_inputs.reshape(360, 64), flat.measured_inputs)
    assert np.array_equal(images.targets, flat.targets)
