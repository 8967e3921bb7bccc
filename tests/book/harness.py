"""Running experiments in tests."""

from typing import Any

import pytest

from stepwell import book
from stepwell.book import airfoil
from stepwell.book.section import Options, Page
from stepwell.rule import Rule
from tests.lab.conftest import data_folder

AIRFOIL = ("minibatch", "momentum", "adagrad", "rmsprop", "adadelta", "adam", "yogi")
"""The sections that train on the airfoil data; their tests are skipped where there is none."""


def page(section: str, name: str, seeds: int = 2) -> Page:
    """The page of one experiment."""
    options = Options(seeds=seeds, data=data_folder() if section in AIRFOIL else None)
    return next(book.named[section].run(options, only=name))


def wrong_lines(section: str, name: str) -> list[str]:
    """What does not hold on a page of one seed."""
    return [line.what for line in page(section, name, seeds=1).lines if line.holds is False]


def detects(monkeypatch: pytest.MonkeyPatch, module: Any, section: str, experiment: str, **wrong: Any) -> None:
    """With these names of the section's module replaced, the experiment's page no longer holds."""
    for name, value in wrong.items():
        monkeypatch.setattr(module, name, value)
    assert wrong_lines(section, experiment), f"{experiment} does not see that {', '.join(wrong)} is wrong"


def trains_with(monkeypatch: pytest.MonkeyPatch, wrong: Rule) -> None:
    """From here on, every training from scratch is by this rule, whichever was asked for; classes stay as they are."""
    right = airfoil.from_scratch

    def other(task: Any, rule: Rule, seed: int = 0, **given: Any) -> airfoil.Training:
        return right(task, wrong, seed, **given)

    monkeypatch.setattr(airfoil, "from_scratch", other)
