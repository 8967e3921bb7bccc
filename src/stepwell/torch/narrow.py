"""State that takes less memory than its parameter, and bfloat16 parameters that lose no small step.

What the kernels keep in 8 bits is handed out, in state dicts and checkpoints, as the bfloat16 numbers that it stands
for, exactly; whatever numbers are loaded are encoded before the next step.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stepwell.kernels import Stages, cpu
from stepwell.kernels.codes import SEGMENT, decode, encode
from stepwell.kernels.lossy import CODES, HALVES, LOSSY, SIGNED
from stepwell.kernels.precision import ROUNDINGS, STATE_DTYPES, storage
from stepwell.rule import Rule
from stepwell.torch.sharding import is_sharded, said

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract

LOW, EXPONENTS = "low_bits", "_exponents"  # keys of a parameter's state: of its own lower half; behind a state's name
_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


def check_parameter(optimizer: "Contract", p: Tensor) -> None:
    """Refuse a parameter that the options of narrow numbers cannot be for."""
    if optimizer._state_dtype is not None and p.dtype not in _NAMES:
        raise ValueError(
            f"state_dtype={optimizer._state_dtype!r} needs parameters of float32, float16 or bfloat16; got {p.dtype}"
        )
    if optimizer._state_dtype == "8bit" and is_sharded(p):
        raise ValueError(
            "state_dtype='8bit' needs whole parameters: an exponent belongs to 1024 numbers of one process; got "
            f"{said(p)} of shape {tuple(p.shape)} (state_dtype='bfloat16' takes it)"
        )
    if optimizer._rounding != "nearest" and p.dtype is not torch.bfloat16:
        raise ValueError(f"rounding={optimizer._rounding!r} needs parameters of bfloat16; got {p.dtype}")


def chosen(optimizer: "Contract") -> bool:
    """Whether any of these options is in force."""
    return optimizer._state_dtype is not None or optimizer._rounding != "nearest"


def kinds(optimizer: "Contract", p: Tensor, rule: Rule, stages: Stages) -> dict[str, str]:
    """How each array is kept, by name; nothing where all are kept as they come."""
    if not chosen(optimizer):
        return {}
    found = storage(rule, stages, _NAMES[p.dtype], optimizer._state_dtype, optimizer._rounding)
    return dict(zip(cpu.program(rule, stages).arrays, found, strict=True))


def refuse(optimizer: "Contract", p: Tensor, rule: Rule, stages: Stages, why: str) -> None:
    """Refuse a parameter that only a kernel could take, where none can."""
    if set(LOSSY) & set(kinds(optimizer, p, rule, stages).values()):
        options = {"state_dtype": optimizer._state_dtype, "rounding": optimizer._rounding}
        given = ", ".join(f"{k}={v!r}" for k, v in options.items() if v not in (None, "nearest"))
        raise ValueError(
            f"{given} needs dense parameters on the CPU and dense gradients of their dtype; a parameter of shape "
            f"{tuple(p.shape)} {why}"
        )


def coded(state: dict[str, Any], key: str, p: Tensor, kind: str, start: float) -> dict[str, Tensor]:
    """The codes of a state and their exponents, by what is put behind its name; made, or made of numbers, if needed."""
    value, signed = state.get(key), kind == SIGNED
    if value is None:
        code, exponent = encode(np.full(1, start, np.float32), signed)
        state[key] = torch.empty_like(p, dtype=torch.uint8, requires_grad=False).fill_(int(code[0]))
        state[key + EXPONENTS] = torch.full((-(-p.numel() // SEGMENT),), int(exponent[0]), dtype=torch.uint8)
    elif value.dtype is not torch.uint8 or state.get(key + EXPONENTS) is None:
        numbers = torch.empty_like(p, dtype=torch.float32, requires_grad=False).copy_(value)
        codes, exponents = encode(_flat(numbers).numpy(), signed)
        state[key] = torch.empty_like(p, dtype=torch.uint8, requires_grad=False)
        _flat(state[key]).copy_(torch.from_numpy(codes))
        state[key + EXPONENTS] = torch.from_numpy(exponents)
    return {"": state[key], "_exponents": state[key + EXPONENTS]}


def low_half(state: dict[str, Any], p: Tensor) -> Tensor:
    """By how much a parameter was rounded, in units of a float32's last place."""
    if state.get(LOW) is None:
        state[LOW] = torch.zeros_like(p, dtype=torch.int16, requires_grad=False)
    return state[LOW]


def numbers(entry: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """A parameter's state as numbers, what is in codes as bfloat16; `kinds` by the names that it has there."""
    found = dict(entry)
    for name, kind in kinds.items():
        if kind in CODES and (exponents := found.pop(name + EXPONENTS, None)) is not None:
            made = torch.empty_like(entry[name], dtype=torch.bfloat16)
            decoded = decode(_flat(entry[name]).numpy(), exponents.numpy(), kind == SIGNED)
            _flat(made).copy_(torch.from_numpy(decoded))
            found[name] = made
    return found


def handed_out(optimizer: "Contract", p: Tensor, entry: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    """A parameter's state as numbers, by torch's names."""
    named = {optimizer.state_names.get(k, k): kind for k, kind in kinds(optimizer, p, rule, Stages()).items()}
    return numbers(entry, named)


def is_split(kind: str | None) -> bool:
    """Whether a parameter of this kind has its lower half beside it."""
    return kind == HALVES


def _flat(x: Tensor) -> Tensor:
    """The elements in the order in which they lie in memory."""
    return x.as_strided((x.numel(),), (1,))


__all__ = [
    "LOW", "ROUNDINGS", "STATE_DTYPES", "check_parameter", "chosen", "coded", "handed_out", "is_split", "kinds",
    "low_half", "numbers", "refuse",
]  # fmt: skip
