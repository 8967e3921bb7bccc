"""The book's airfoil trainings through this door."""

import pytest

from tests.doors.book import SECTIONS, assert_as_in_torch, assert_in_the_bands


@pytest.mark.parametrize("section", SECTIONS)
def test_losses_end_inside_the_books_bands(section: str) -> None:
    assert_in_the_bands("paddle", section)


def test_it_is_the_training_that_torch_makes() -> None:
    assert_as_in_torch("paddle")
