"""Random generators of this process: put where a seed says, and left where they were."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np

LIMIT = 2**32  # seeds that NumPy's generator takes


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Python's, NumPy's and torch's global generators, any of which a model may draw from, are after the block what
    they were before it."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@contextlib.contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """The same generators inside, put where these numbers say."""
    with preserved():
        sow(*seed)
        yield


def sow(*seed: int) -> None:
    """Put the generators where these numbers, each ≥ 0, say; one number is itself the seed."""
    import torch

    word = seed[0] if len(seed) == 1 else int(np.random.SeedSequence(seed).generate_state(1)[0])
    random.seed(word)
    np.random.seed(word % LIMIT)  # noqa: NPY002
    torch.manual_seed(word)
