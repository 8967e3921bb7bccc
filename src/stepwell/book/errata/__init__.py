"""Where the texts are wrong, or disagree with one another, about one and the same algorithm.

Twenty-six places of Dive into Deep Learning (D2L, its four framework tabs) and of texts that accompany it. Each is
run here beside what Stepwell does instead: the formula as its paper has it, in one place; where a text's variant is a
real alternative and no slip, it is a rule of its own beside it, under its own name. Each claim fails if Stepwell had
the fault.
"""

from stepwell.book.errata import mathematics, measures, rules, schedules, training  # noqa: F401  each marks its errata
from stepwell.book.errata.erratum import concerning as concerning
from stepwell.book.errata.erratum import erratum as erratum
from stepwell.book.errata.erratum import found
from stepwell.book.section import Section

section = Section("errata", "Where the texts are wrong", __doc__)
for _each in sorted(found, key=lambda each: each.__name__):  # e01 … e26, whichever file they are in
    section.experiment(_each)
