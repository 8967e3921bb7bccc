"""What the trace makes of a rule, and that the comparison would notice if it made something else."""

import pytest

from stepwell import rules
from stepwell.kernels import cpu, source
from stepwell.kernels import trace as trace_module
from stepwell.kernels.trace import trace
from stepwell.rule import Rate, Rule, row_mean, rule, where
from tests.kernels.harness import EVERY_STAGE, PLAIN, SMALL, Work, assert_same, by_kernel, by_reference

EVERY_RULE = list(rules.named.values())


@pytest.mark.parametrize("stages", [PLAIN, EVERY_STAGE], ids=["plain", "all"])
@pytest.mark.parametrize("given", EVERY_RULE, ids=lambda r: r.name)
def test_scalars_are_hoisted_and_every_operation_is_done_once(given, stages):
    program = trace(given, stages)
    known = {*program.scalars, "t", *program.scalar_state}
    for operation in program.prologue:
        assert all(isinstance(a, float) or a in known for a in operation.args)
        known.add(operation.target)
    varying = set(program.arrays)
    for operation in program.body:
        assert any(a in varying for a in operation.args), f"{operation} varies with no array"
        assert all(isinstance(a, float) or a in known | varying for a in operation.args)
        varying.add(operation.target)
    every = [(o.op, o.args) for o in (*program.prologue, *program.body)]
    assert len(set(every)) == len(every)
    assert set(program.outputs) == {*program.arrays, *program.scalar_state} - {"g"}


def test_only_the_product_of_momenta_is_a_number_among_states():
    found = {given.name: trace(given, PLAIN).scalar_state for given in EVERY_RULE}
    assert {name: state for name, state in found.items() if state} == {
        "nadam": ("mu_product",),
        "nadamw": ("mu_product",),
    }


def test_states_are_numbers_only_as_long_as_no_array_reaches_them():
    @rule
    def chain(g, a, b, c, d, *, lr: Rate = 1):
        return lr * g * a, a * b, b + lr, c + d, d + g

    assert trace(chain, PLAIN).scalar_state == ("a", "b")
    assert trace(chain, PLAIN).arrays == ("p", "g", "c", "d")


def test_only_row_wise_adagrad_goes_by_rows():
    programs = {given.name: trace(given, EVERY_STAGE) for given in EVERY_RULE}
    row_wise = ["adagrad_rowwise", "adagrad_rowwise_eps_inside"]
    assert {name: p.row_state for name, p in programs.items() if p.row_state} == dict.fromkeys(row_wise, ("s",))
    assert [name for name, program in programs.items() if program.by_rows] == row_wise


def test_states_are_of_rows_as_long_as_no_element_reaches_them_outside_a_mean():
    @rule
    def chain(p, g, n, a, b, c, d, e, *, lr: Rate = 1):
        a = a + row_mean(abs(g) * d) + n  # of rows
        return lr * g / a, 0.5 * n, a, a * b + lr, c + d, d + g, row_mean(e) - row_mean(p) * b

    program = trace(chain, PLAIN)
    assert (program.scalar_state, program.row_state) == (("n",), ("a", "b", "e"))
    assert program.arrays == ("p", "g", "a", "b", "c", "d", "e")
    assert program.by_rows


def test_a_rule_may_go_by_rows_and_keep_nothing_of_them():
    @rule
    def centred(g, v, *, lr: Rate = 1):
        v = 0.5 * v + g - row_mean(g)
        return lr * v, v

    program = trace(centred, PLAIN)
    assert (program.row_state, program.by_rows) == ((), True)


def test_the_mean_of_a_number_is_the_number():
    @rule
    def plain(g, n, *, lr: Rate = 1):
        n = row_mean(n) + row_mean(lr * 2.0)
        return row_mean(3.0) * n * g, n

    program = trace(plain, PLAIN)
    assert (program.scalar_state, program.row_state, program.by_rows) == (("n",), (), False)
    assert {o.op for o in (*program.prologue, *program.body)} == {"*", "+", "-"}


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((), ()), ((5,), (1,)), ((0,), (1,)), ((3, 5), (3, 1)), ((3, 0), (3, 1)), ((2, 3, 5), (2, 3, 1))],
)
def test_shapes_of_state(shape, rows):
    program = trace(rules.adagrad_rowwise, EVERY_STAGE)
    assert program.shape_of("s", shape) == rows
    assert program.shape_of("ema", shape) == program.shape_of("p", shape) == shape
    assert trace(rules.nadam, PLAIN).shape_of("mu_product", shape) == ()


def test_adams_corrections_are_computed_once_a_step():
    program = trace(rules.adam, PLAIN)
    assert sorted(o.op for o in program.prologue) == ["**", "**", "-", "-", "-", "-"]
    assert len(program.body) == 14


@rule
def lopsided(g, m, t, *, lr: Rate = 0.5):
    """Sensitive to the order of operands, to what is merged, and to the precision of its scalars."""
    m = m + (g - 3 * m) * (3 * m - g) * 1e-9
    return lr * g * (1 - 0.999**t) / (1 - 0.9999**t) + where(g > m, 0.1 * g, 0.2 * m - 0.3), m


@rule
def alternating(g, m, t, *, lr: Rate = 0.5):
    """Constants below zero under a power and a minus."""
    m = m + (-1.0) ** t * g + -1.5 * g
    return lr * m, m


@pytest.mark.parametrize("given", [lopsided, alternating], ids=lambda r: r.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rules_of_a_user_are_compiled_as_they_are_written(given, dtype):
    assert_same(Work(given, dtype=dtype, sizes=SMALL, steps=5), by_kernel, by_reference)


def merged(numbering, op, args):
    """Common subexpressions, where a - b is taken for b - a."""
    key = (op, tuple(sorted(args, key=str)))
    if key not in numbering._targets:
        numbering._targets[key] = RIGHT(numbering, op, args)
    return numbering._targets[key]


RIGHT = trace_module.Numbering._operation


def narrow_scalars(program, real):
    """The prologue as it would be if it were computed in the body's precision."""
    return [
        line if " = clock" in line or " = groups" in line else line.replace(" = ", " = float32(", 1) + ")"
        for line in PROLOGUE(program, real)
    ]


PROLOGUE = source.prologue
BREAKS = {
    "a - b is taken for b - a": (trace_module.Numbering, "_operation", merged),
    "the branches of where are exchanged": (source, "_CALLS", source._CALLS | {"where": "{2} if {0} else {1}"}),
    "scalars are computed in single precision": (source, "prologue", narrow_scalars),
    "an array is read in the place of another": (
        source, "addresses", lambda p, pointers: ADDRESSES(p, [*pointers[:-2], pointers[-1], pointers[-2]])
    ),
}  # fmt: skip
ADDRESSES = source.addresses


def fresh(given: Rule, *args) -> cpu.Kernel:
    """A kernel that is not remembered."""
    return cpu.kernel.__wrapped__(given, *args)


@pytest.mark.parametrize("wrong", [None, *BREAKS])
def test_a_wrong_trace_or_source_is_rejected(wrong, monkeypatch):
    work = Work(lopsided, sizes=SMALL)
    monkeypatch.setattr(cpu, "program", cpu.program.__wrapped__)  # traced anew, and not remembered either
    if wrong is None:
        assert_same(work, lambda work: by_kernel(work, make=fresh), by_reference)
        return
    monkeypatch.setattr(*BREAKS[wrong])
    with pytest.raises(AssertionError, match="error"):
        assert_same(work, lambda work: by_kernel(work, make=fresh), by_reference)


def test_the_source_can_be_read():
    text = cpu.source(rules.adam)
    assert text.startswith('"""adam"""')
    compile(text, "adam", "exec")
    assert "wide_beta2 ** wide_t" in text
    assert text.count("math.sqrt") == 1
