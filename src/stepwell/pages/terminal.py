"""Curves in a terminal, drawn with Braille dots: a character has two columns and four rows of them."""

from collections.abc import Sequence

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column
BLANK = 0x2800
LABEL = 9


def plot(values: Sequence[float], width: int = 80, height: int = 16) -> str:
    """Values against their index as lines of text no wider than `width`; the axis of values starts at 0 or below.

    >>> print(plot([0, 1, 2, 3, 4, 5, 6, 7], width=20, height=4))
            7 │⠀⠀⠀⠀⠀⣀⣠⠴⠚
            0 │⣀⣠⠴⠒⠋⠁⠀⠀⠀
              └─────────
               0       7
    """
    columns, lines = max(width - LABEL - 2, 8), max(height - 2, 2)
    low, high = min(0.0, *values), max(values)
    high = high if high > low else low + 1
    cells = [[BLANK] * columns for _ in range(lines)]
    for x, (bottom, top) in enumerate(_spans(values, 2 * columns)):
        for y in range(_row(top, low, high, 4 * lines), _row(bottom, low, high, 4 * lines) + 1):
            cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]
    labels = [f"{high:.3g}", *[""] * (lines - 2), f"{low:.3g}"]
    rows = [f"{label:>{LABEL}} │{''.join(map(chr, row))}" for label, row in zip(labels, cells, strict=True)]
    last = str(len(values) - 1)
    return "\n".join([*rows, " " * LABEL + " └" + "─" * columns, " " * (LABEL + 2) + "0" + last.rjust(columns - 1)])


def _row(value: float, low: float, high: float, rows: int) -> int:
    return round((high - value) / (high - low) * (rows - 1))


def _spans(values: Sequence[float], dots: int) -> list[tuple[float, float]]:
    """For each column of dots the least and the greatest value there, joined to the column before it."""
    spans, before = [], values[0]
    for x in range(dots):
        first = x * (len(values) - 1) // (dots - 1)
        after = max((x + 1) * (len(values) - 1) // (dots - 1), first + 1)
        here = [before, *values[first:after]]
        spans.append((min(here), max(here)))
        before = here[-1]
    return spans
