"""The optimization chapter of *Dive into Deep Learning*, run on this library: a file a section, in the book's order.

>>> from stepwell import book
>>> page = next(book.named["gd"].run())
>>> page.lines[0].what, page.lines[0].got, page.lines[0].holds
('x², η = 0.2: x after 10 steps', '0.060466', True)
"""

import importlib

from stepwell.book.section import Options as Options
from stepwell.book.section import Page as Page
from stepwell.book.section import Section as Section

ORDER = (
    "intro", "convexity", "gd", "sgd", "minibatch", "momentum", "adagrad", "sparse", "rmsprop", "adadelta", "adam",
    "yogi", "schedules", "comparison", "practice", "errata",
)  # fmt: skip

named: dict[str, Section] = {name: importlib.import_module(f"stepwell.book.{name}").section for name in ORDER}
