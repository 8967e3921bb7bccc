"""Products and quotients by scalars joined: the same numbers, with fewer roundings and no division by a scalar."""

import numpy as np
import pytest

from stepwell import rules
from stepwell.kernels import interpret
from stepwell.kernels.scaled import scaled
from stepwell.kernels.trace import trace
from stepwell.rule import Rate, rule
from tests.kernels.harness import EVERY_STAGE, PLAIN

EVERY_RULE = list(rules.named.values())
SHAPE = (3, 4)


@rule
def chained(g, a, b, *, lr: Rate = 0.1, c=0.7, d=0.3):
    a = (a + g) / c * lr / d
    b = (b * 2.0) / c + g
    return g / (c * g), a, b + b / lr


@pytest.mark.parametrize("stages", [PLAIN, EVERY_STAGE], ids=["plain", "all"])
@pytest.mark.parametrize("given", [*EVERY_RULE, chained], ids=lambda r: r.name)
def test_the_numbers_are_the_same(given, stages):
    program, generator = trace(given, stages), np.random.default_rng(0)
    joined = scaled(program)
    arrays = {
        name: generator.uniform(0.1, 2, (*SHAPE[:-1], 1) if name in program.row_state else SHAPE)
        for name in program.arrays
    }
    scalars = {name: generator.uniform(0.1, 0.9) for name in (*program.scalars, *program.scalar_state)} | {"t": 3.0}
    expected, found = (interpret.run(each, arrays, scalars) for each in (program, joined))
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-13, err_msg=name)
    assert joined.outputs == program.outputs


@pytest.mark.parametrize("stages", [PLAIN, EVERY_STAGE], ids=["plain", "all"])
@pytest.mark.parametrize("given", [*EVERY_RULE, chained], ids=lambda r: r.name)
def test_elements_are_divided_by_elements_only_and_no_name_is_given_twice(given, stages):
    joined = scaled(trace(given, stages))
    elements = {*joined.arrays, *(o.target for o in joined.body)}
    assert all(o.args[1] in elements for o in joined.body if o.op == "/" and o.args[0] in elements)
    targets = [o.target for o in (*joined.prologue, *joined.body)]
    assert len(targets) == len(set(targets))
    known = {*joined.scalars, *joined.scalar_state, *joined.arrays, "t"}
    for o in (*joined.prologue, *joined.body):
        assert all(isinstance(a, float) or a in known for a in o.args)
        known.add(o.target)


def test_a_chain_is_one_product():
    joined = scaled(trace(chained, PLAIN))
    lines = {o.target: o for o in joined.body}
    last = lines[str(joined.outputs["a"])]
    assert last.op == "*"
    assert [lines[str(a)].op for a in last.args if a in lines] == ["+"]


def test_adams_rate_and_first_correction_are_one_scalar():
    program = trace(rules.adam, PLAIN)
    assert len(scaled(program).body) == len(program.body) - 1
