"""The book's trainings on the airfoil data in a door's framework; a door's test file parametrizes `SECTIONS`."""

import numpy as np

from stepwell import book, rules
from stepwell.book import loops
from stepwell.book.section import Options
from stepwell.lab import tasks
from tests.lab.conftest import data_folder

SECTIONS = [name for name, section in book.named.items() if section.elsewhere]


def assert_in_the_bands(framework: str, section: str) -> None:
    """From scratch and concise, every setting ends inside its band, and both are one training."""
    options = Options(seeds=1, data=data_folder(), framework=framework)
    pages = list(book.named[section].run(options))
    assert len(pages) == 1
    lines = pages[0].lines
    assert len([line for line in lines if "from scratch" in line.what]) == len(lines) / 3 >= 1
    assert all(line.holds for line in lines), [line for line in lines if not line.holds]
    assert set(pages[0].figures) == {"training"}


def assert_as_in_torch(framework: str) -> None:
    """Adam from scratch is, measurement for measurement, what it is in torch; and another rule is not."""
    task = tasks.airfoil(data_folder())
    here, there = (loops.from_scratch(task, rules.adam, 3, framework=f, lr=0.01) for f in (framework, "torch"))
    assert np.abs(np.subtract(here.losses, there.losses)).max() < 1e-6
    other = loops.from_scratch(task, rules.adamax, 3, framework=framework, lr=0.01)
    assert np.abs(np.subtract(other.losses, there.losses)).max() > 1e-3
