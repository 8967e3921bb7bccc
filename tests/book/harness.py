"""Running experiments in tests."""

from functools import cache
from typing import Any

import pytest

from stepwell import book
from stepwell.book.section import Page


@cache
def pages(section: str) -> dict[str, Page]:
    """All pages of a section by name, made once."""
    return {page.name: page for page in book.named[section].run()}


def agrees(page: Page, numbers: int) -> None:
    """All of the page holds, and it has at least so many numbers or claims that can fail."""
    wrong = [line for line in page.lines if line.holds is False]
    assert not wrong, wrong
    assert sum(line.holds is True for line in page.lines) >= numbers


def detects(monkeypatch: pytest.MonkeyPatch, module: Any, section: str, experiment: str, **wrong: Any) -> None:
    """With these names of the section's module replaced, the experiment's page no longer holds."""
    for name, value in wrong.items():
        monkeypatch.setattr(module, name, value)
    page = next(book.named[section].run(only=experiment))
    assert not page.holds, f"{experiment} does not see that {', '.join(wrong)} is wrong"
