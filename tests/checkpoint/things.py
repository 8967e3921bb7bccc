"""What tests of checkpoints share: an optimizer halfway, and all of one frozen to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

import stepwell.numpy as door
from stepwell import checkpoint
from stepwell.checkpoint import CheckpointError
from tests.numpy import snapshot


def halfway(seed: int = 0, **options: Any) -> door.Optimizer:
    """A NumPy optimizer after two steps of Adam, one array without a gradient so far."""
    rng = np.random.default_rng(seed)
    params = {"w": rng.standard_normal((4, 3)), "b": rng.standard_normal(3).astype("f4"), "late": np.ones(2)}
    optimizer = door.Adam(params, **{"lr": 0.1, **options})
    for _ in range(2):
        optimizer.step({"w": rng.standard_normal((4, 3)), "b": np.ones(3, "f4"), "late": None})
    return optimizer


def frozen(optimizer: Any) -> Any:
    """Parameters, state, steps and hyperparameters, to the bit."""
    if isinstance(optimizer, door.Optimizer):
        return snapshot.of(optimizer)
    packed = optimizer.state_dict()
    params = [[_bits(p) for p in group["params"]] for group in optimizer.param_groups]
    state = {k: {name: _bits(x) for name, x in entry.items()} for k, entry in packed["state"].items()}
    return params, state, repr(packed["param_groups"])


def _bits(x: Any) -> Any:
    if not isinstance(x, torch.Tensor):
        return repr(x)
    x = x.detach().contiguous()
    return x.dtype, tuple(x.shape), x.reshape(-1).view(torch.uint8).numpy().tobytes() if x.numel() else b""


def linear() -> Any:
    """A small model, the same at every call."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Steps on numbers that depend on the step alone."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        p = next(model.parameters())
        x = torch.randn(5, 3, generator=generator).to(p.dtype)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def saved(path: Path) -> bytes:
    """A small file's bytes."""
    checkpoint.save(path, halfway(), extra={"epoch": 3})
    return path.read_bytes()


def assert_equal_or_refused(path: Path, content: bytes) -> bool:
    """Whether it was refused; if not, everything is as the whole file has it."""
    path.write_bytes(content)
    optimizer = halfway(seed=1)
    before = frozen(optimizer)
    extra, said = None, ""
    try:
        extra = checkpoint.load(path, optimizer)
    except CheckpointError as error:
        said = str(error)
    if said:
        assert frozen(optimizer) == before
        assert said.startswith(f"{path}: ")
        assert said.endswith("; nothing was changed")
        return True
    assert frozen(optimizer) == frozen(halfway())
    assert extra == {"epoch": 3}
    return False
