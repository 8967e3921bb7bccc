"""What all tests of the torch door share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run side by side, so each keeps to one thread; those about threads say how many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def invariants_are_asked_for() -> Iterator[None]:
    """torch warns once a process where nobody has said whether sparse tensors are to be checked."""
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        yield
