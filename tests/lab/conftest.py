"""What tests of the lab and of what stands on it share: the airfoil file, which is not the repository's own."""

import os
from pathlib import Path

import pytest

from stepwell.lab import tasks
from stepwell.lab.tasks import Task


def data_folder(file: str = "airfoil_self_noise.dat") -> Path:
    """The folder of shared data, which has that file; a test that needs it is skipped where there is none."""
    named = os.environ.get("STEPWELL_DATA")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "data"
    if not (folder / file).exists():
        pytest.skip(f"{file} is neither in STEPWELL_DATA nor in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def airfoil() -> Task:
    """The airfoil task on the real file."""
    return tasks.airfoil(data_folder())
