"""Settings of all tests."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("stepwell", deadline=None, derandomize=True)  # shared machines are slow at times
settings.load_profile("stepwell")

gc.set_threshold(50_000, 20, 50)  # frameworks leave a million objects that stay, and looking through them takes a tenth


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tests run side by side, so one that trains keeps to one thread; those about threads say how many."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
