"""A training between NumPy and torch is one training."""

from pathlib import Path

import pytest

from tests.doors import resume


@pytest.mark.parametrize("case", resume.CASES, ids=str)
def test_a_training_goes_on_in_numpy_and_back(case: resume.Case, tmp_path: Path) -> None:
    resume.check(resume.InNumpy, case, tmp_path)


@pytest.mark.parametrize("case", resume.CASES[::7], ids=str)
def test_a_training_goes_on_in_torch(case: resume.Case, tmp_path: Path) -> None:
    resume.check(resume.InTorch, case, tmp_path)
