"""What all tests of the torch door share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def on_one_thread(one_thread: None) -> None:
    """All tests of this room."""


@pytest.fixture(autouse=True)
def invariants_are_asked_for() -> Iterator[None]:
    """torch warns once a process where nobody has said whether sparse tensors are to be checked."""
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        yield
