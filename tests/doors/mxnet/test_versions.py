"""The book's table of frameworks, asked of MXNet."""

import mxnet as mx
import pytest

from tests.doors.versions import START, assert_defaults, assert_steps, of


def steps(make, gradients):
    p, update = mx.nd.array(START, dtype="float32"), mx.optimizer.get_updater(make())
    other = p.copy()
    path = []
    for g in gradients:
        update([0, 1], [mx.nd.array(g, dtype="float32"), mx.nd.array(g, dtype="float32")], [p, other])
        path.append(p.asnumpy())
    return path


@pytest.mark.parametrize("version", of("MXNet"), ids=lambda v: v.name)
def test_what_the_table_says_is_so(version):
    original = getattr(mx.optimizer, version.name.rpartition(".")[2])
    assert_defaults(version, original, {"learning_rate": original().lr})
    assert_steps(version, original, steps)
