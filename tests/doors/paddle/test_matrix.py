# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Every rule through Paddle beside the float64 reference, and that wrong rules are told from it."""

import functools

import pytest

from stepwell import rules
from stepwell.paddle.entry import Entry
from tests.doors.matrix import LIMITS, RULES, Matrix, difference, train


class TestMatrix(Matrix):
    door = "paddle"


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", RULES)
def test_paddles_own_operations_give_it_too(name, dtype, monkeypatch):
    """What other devices and odd layouts are updated with."""
    monkeypatch.setattr(Entry, "is_dense", property(lambda _: False, lambda *_: None), raising=False)
    assert difference(rules.named[name], dtype, functools.partial(train, "paddle")) <= LIMITS[dtype]
