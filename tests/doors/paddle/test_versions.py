"""The book's table of frameworks, asked of Paddle."""

import paddle
import pytest

from tests.doors.versions import START, assert_defaults, assert_steps, of


def steps(make, gradients):
    p = paddle.create_parameter([len(START)], "float64")
    p.set_value(START)
    optimizer = make(parameters=[p])
    path = []
    for g in gradients:
        p.grad = paddle.to_tensor(g)
        optimizer.step()
        path.append(p.numpy().copy())
    return path


@pytest.mark.parametrize("version", of("Paddle"), ids=lambda v: v.name)
def test_what_the_table_says_is_so(version):
    original = getattr(paddle.optimizer, version.name.rpartition(".")[2])
    assert_defaults(version, original)
    assert_steps(version, original, steps)
