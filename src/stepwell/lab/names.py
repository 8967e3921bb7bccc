"""Words for people: about names that they typed, and about how many there are."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say about a name that is not known: the close ones, then all.

    >>> unknown("task", "digit", ["digits", "airfoil"])
    "there is no task 'digit'; did you mean digits? There are: digits, airfoil"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"there is no {kind} {name!r}{hint} There are: {', '.join(known)}"


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
