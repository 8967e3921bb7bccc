"""A step is written down: the source of the kernel that keeps the book of what rows have missed.

`history` gets the numbers of the step's body; `entries`, one for each step at which a row may have been touched last,
what the step adds to the closed form (`closing.Closed`) of the rows that were; `since`, what happens to blocks of
entries whose drift has died away.

The sum of drift / (x + spread) over the steps of a gap is taken from the first LEVELS of its continued fraction, which
is Gauss's quadrature. Adding a step updates the fraction as Gragg & Harwood (1984) add a point to a measure.
<https://doi.org/10.1007/BF01389450>
"""

from collections.abc import Mapping

from stepwell.kernels.closing import Closed, Sum
from stepwell.kernels.rest import Rest
from stepwell.kernels.source import indent, narrow, prologue, scalars_of_body, wide

LEVELS = 4
BLOCK = 256  # entries that are frozen together, once their drift has died away
GOOD, COARSE, IRREGULAR = range(3)  # an entry: the closed form holds; it would be off by more than it may; it does not
KEEP, FLAG, MASS, REACH, LEAST, CENTRES = range(6)
SPREADS, SCALES = CENTRES + LEVELS, CENTRES + 2 * LEVELS
OPEN = float(1 << 60)  # the reach of an entry whose drift goes on
BOUND = {"float32": 2.0**-24, "float64": 1e-13}  # of the closed form's error, relative to the drift
FADED = {"float32": 2.0**-40, "float64": 2.0**-60}  # a step's share of the drift from which on the rest is left out


TINY = {"float32": 2.0**-120, "float64": 2.0**-1016}  # nearly the smallest that has all its digits

BOOKS = "float64[:, ::1], float64[:, ::1], float64[:, ::1]"
SIGNATURE = f"int64({BOOKS}, float64[::1], int64, int64, float64[:, ::1], float64[:, ::1])"

_ADVANCE = '''\
"""{title}: a step is written down."""

import math

from numba import float32, float64

round_to = {real}


def advance(entries, since, history, peak, low, count, clock, groups):
    tensor, group = 0, 0
{prologue}
{history}
{closed}
'''

_CLOSED = """\
keep = {keep}
regular = {regular}
entries[{KEEP}, count] = 1.0
for row in range({FLAG}, {SCALES}):
    entries[row, count] = 0.0
entries[{REACH}, count] = {OPEN}
entries[{LEAST}, count] = math.inf
for row in range({SCALES}, {SCALES} + {scales}):
    entries[row, count] = 1.0
peak[0] = max(peak[0], abs({drift}))
for k in range(low, count + 1):
    if not regular:
        entries[{FLAG}, k] = {IRREGULAR}
{entry}
    entries[{KEEP}, k] *= keep
{scale_entries}
for block in range(low // {BLOCK}):
    if not regular:
        since[{FLAG}, block] = {IRREGULAR}
    since[{KEEP}, block] *= keep
{scale_blocks}
while low + {BLOCK} <= count:
    settled = True
    for k in range(low, low + {BLOCK}):  # what is irregular is replayed: nothing of these entries is ever wanted
        settled = settled and (entries[{FLAG}, k] == {IRREGULAR} or entries[{REACH}, k] < {OPEN})
    if not settled:
        break
    since[{KEEP}, low // {BLOCK}] = 1.0
    since[{FLAG}, low // {BLOCK}] = {GOOD}
    for row in range({SCALES}, {SCALES} + {scales}):
        since[row - {SCALES} + 2, low // {BLOCK}] = 1.0
    low += {BLOCK}
return low
"""

_WEIGH = """\
scale = {scale}
weight = {drift} * scale
mass = entries[{MASS}, k] * keep
{absorb}
entries[{MASS}, k] = mass
faded = scale == 0.0 or scale * peak[0] < {FADED} * abs(mass)
if entries[{REACH}, k] == {OPEN} and faded and abs(mass) < math.inf:
    entries[{REACH}, k] = count + 1 - k
"""

_ABSORB = """\
node = {spread} * {spread_scale}
if not (weight >= 0.0 and 0.0 <= node < math.inf):
    entries[{FLAG}, k] = {IRREGULAR}
elif weight == 0.0 and mass == 0.0:
    for row in range({CENTRES}, {SPREADS}):
        entries[row, k] = node
elif weight > 0.0:
    entries[{LEAST}, k] = min(entries[{LEAST}, k], node)
    kept, share, shift, more = 1.0, 0.0, 0.0, weight
    error = 1.0
    for level in range({LEVELS} + 1):
        old = mass if level == 0 else entries[{SPREADS} - 1 + level, k]
        total = old + more
        new = kept * total
        before = share
        if total > 0.0:
            kept, share = old / total, more / total
        else:
            kept, share = 1.0, 0.0
        if level < {LEVELS}:
            centre = node if old == 0.0 else entries[{CENTRES} + level, k]
            moved = share * (centre - node) - kept * shift
            entries[{CENTRES} + level, k] = centre - (moved - shift)
            shift = moved
            more = shift * shift / share if share > 0.0 else before * old
        if level == 0:
            mass = new
        else:
            entries[{SPREADS} - 1 + level, k] = new
            error *= 0.0 if new == 0.0 else new / (entries[{LEAST}, k] * entries[{LEAST}, k])  # once NaN, always
    error *= entries[{CENTRES}, k] / entries[{LEAST}, k] if error > 0.0 else 1.0
    if entries[{FLAG}, k] != {IRREGULAR}:
        entries[{FLAG}, k] = {GOOD} if error <= {BOUND} else {COARSE}
"""


def source(title: str, rest: Rest, real: str) -> str:
    """The kernel's source."""
    program = rest.program
    columns = [narrow(name) for name in scalars_of_body(program)]
    history = [f"history[count, {k}] = float64({name})" for k, name in enumerate(columns)]
    closed = ["return 0"] if rest.closed is None else _books(rest, rest.closed, real)
    return _ADVANCE.format(
        title=title, real=real, prologue=indent(prologue(program, real), 4), history=indent(history, 4),
        closed=indent(closed, 4),
    )  # fmt: skip


def _books(rest: Rest, closed: Closed, real: str) -> list[str]:
    number = {name: wide(value) for name, value in rest.program.outputs.items()}
    factors = [number[f"scale_{s}"] for s in closed.scales]
    good = [number[c] for c in closed.conditions]
    good += [f"{x} {'>' if s in closed.divisors else '>='} 0.0" for s, x in zip(closed.scales, factors, strict=True)]
    if closed.drift is not None and closed.drift.sum is not None:
        good.append("keep > 0.0")
    entry = "" if closed.drift is None else filled(
        _WEIGH, scale=_powers(closed.drift.scale, closed), drift=number["drift"], FADED=FADED[real],
        absorb=_absorb(closed.drift.sum, number, closed, real),
    )  # fmt: skip
    if closed.drift is None:
        entry = filled("entries[{REACH}, k] = min(entries[{REACH}, k], 1.0)")
    return filled(
        _CLOSED, keep=number["keep"], regular=" and ".join(good) or "True", scales=len(factors),
        drift=number.get("drift", "0.0"), entry=indent(entry.splitlines(), 4),
        scale_entries=indent([f"entries[{SCALES + i}, k] *= {x}" for i, x in enumerate(factors)], 4),
        scale_blocks=indent([f"since[{2 + i}, block] *= {x}" for i, x in enumerate(factors)], 4),
    ).splitlines()  # fmt: skip


def _absorb(sum: Sum | None, number: Mapping[str, str], closed: Closed, real: str) -> str:
    if sum is None:
        return "mass += weight"
    scale = _powers(sum.scale, closed)
    return filled(_ABSORB, spread=number["spread"], spread_scale=scale, BOUND=BOUND[real]).rstrip()


def _powers(powers: Mapping[str, float], closed: Closed) -> str:
    """A product of powers of an entry's scales."""
    factors = []
    for state, power in powers.items():
        if state in closed.scales:
            entry = f"entries[{SCALES + closed.scales.index(state)}, k]"
            root = {0.5: f"math.sqrt({entry})", 1.0: entry, -0.5: f"(1.0 / math.sqrt({entry}))"}
            factors.append(root.get(power, f"{entry} ** {power}"))
    return " * ".join(factors) or "1.0"


def filled(template: str, **given: object) -> str:
    """A template with the constants of the books, and what is given."""
    constants = {name: x for name, x in globals().items() if name.isupper() and isinstance(x, (int, float))}
    return template.format(**(constants | given))
