"""Every rule, as a kernel and eagerly, is the float64 reference: plain and with all that surrounds it."""

import pytest

from stepwell import rules
from stepwell.kernels import Stages, cpu
from stepwell.rule import Rule
from tests.kernels.harness import EVERY_STAGE, PLAIN, Work, assert_same, by_eager, by_kernel, by_reference

EVERY_RULE = list(rules.named.values())
BY_ELEMENTS = [rule for rule in EVERY_RULE if not cpu.program(rule, PLAIN).by_rows]


def works(given: list[Rule]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "work",
        [
            pytest.param(Work(rule, stages, dtype), id=f"{rule.name}-{dtype}-{'plain' if stages == PLAIN else 'all'}")
            for rule in given
            for dtype in ("float32", "float64")
            for stages in (PLAIN, EVERY_STAGE)
        ],
    )


@works(BY_ELEMENTS)
def test_the_kernel_is_the_reference(work):
    assert_same(work, by_kernel, by_reference)


@works(EVERY_RULE)
def test_the_eager_engine_is_the_reference(work):
    assert_same(work, by_eager, by_reference)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", [rules.momentum, rules.adam, rules.yogi], ids=lambda r: r.name)
def test_clipped_elements_are_the_reference(rule, dtype):
    work = Work(rule, Stages(scale=True, clip=True, decay=True, clip_decayed=True), dtype)
    assert_same(work, by_kernel, by_reference)
    assert_same(work, by_eager, by_reference)
