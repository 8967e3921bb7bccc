"""Every rule, as a kernel and eagerly, is the float64 reference: plain and with all that surrounds it."""

import pytest

from stepwell import rules
from tests.kernels.harness import EVERY_STAGE, PLAIN, Work, assert_same, by_eager, by_kernel, by_reference

EVERY_RULE = list(rules.named.values())
every_work = pytest.mark.parametrize(
    "work",
    [
        pytest.param(Work(rule, stages, dtype), id=f"{rule.name}-{dtype}-{'plain' if stages == PLAIN else 'all'}")
        for rule in EVERY_RULE
        for dtype in ("float32", "float64")
        for stages in (PLAIN, EVERY_STAGE)
    ],
)


@every_work
def test_the_kernel_is_the_reference(work):
    assert_same(work, by_kernel, by_reference)


@every_work
def test_the_eager_engine_is_the_reference(work):
    assert_same(work, by_eager, by_reference)
