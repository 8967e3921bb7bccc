"""What is wrong with a training, why one thinks so, and what to do."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepwell.lab.health.course import Course


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        name: by which programs know it, such as "rate_too_high". title: in words.
        step: where it is seen first, from 0.
        evidence: what was measured. cure: what to do. where: the parameters concerned, if not all.
    """

    name: str
    title: str
    step: int
    evidence: str
    cure: str
    where: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.title}, from step {self.step}\n  seen: {self.evidence}\n  cure: {self.cure}"


@dataclass(frozen=True)
class Seen:
    """What a sign tells of a training that has it."""

    step: int
    evidence: str
    cure: str
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sign:
    """How one fault is known: `judge` gives what is seen of it, or None. `explains`: faults that it brings about."""

    name: str
    title: str
    judge: "Callable[[Course], Seen | None]"
    explains: Collection[str]


SIGNS: dict[str, Sign] = {}
"""Every fault that is known, in the order in which findings are told; `signs` fills it."""


def sign(title: str, explains: Collection[str] = ()) -> "Callable[[Callable[[Course], Seen | None]], Sign]":
    """Make a function the sign of the fault that it is named after."""

    def kept(judge: "Callable[[Course], Seen | None]") -> Sign:
        SIGNS[judge.__name__] = Sign(judge.__name__, title, judge, explains)
        return SIGNS[judge.__name__]

    return kept


def findings(course: "Course") -> list[Finding]:
    """What is wrong, without what follows from something else that is."""
    seen = {name: found for name, each in SIGNS.items() if (found := each.judge(course)) is not None}
    explained = {symptom for name in seen for symptom in SIGNS[name].explains}
    return [
        Finding(name, SIGNS[name].title, found.step, found.evidence, found.cure, found.where)
        for name, found in seen.items()
        if name not in explained
    ]


def several(names: Collection[str], most: int = 3) -> str:
    """Some names, and how many more there are.

    >>> several(["a", "b"]), several(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    kept = list(names)[:most]
    rest = len(names) - len(kept)
    return ", ".join(kept) + (f" and {rest} more" if rest else "")
