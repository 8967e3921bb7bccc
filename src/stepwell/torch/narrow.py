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
from stepwell.kernels.lossy import HALVES, LOSSY, SIGNED
from stepwell.kernels.precision import ROUNDINGS, STATE_DTYPES, storage
from stepwell.rule import Rule
from stepwell.torch.sharding import is_sharded, said

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract

LOW = "low_bits"  # the key of a parameter's own lower half in its state
EXPONENTS = {
    False: "_exponents",
    True: "_signed_exponents",
}  # behind the name of a state in codes, without and with signs
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
    """The codes of a state and their exponents, by what is put behind its name; made, or made of numbers, if needed.

    Raises:
        ValueError: the state has another shape than its parameter.
    """
    signed = kind == SIGNED
    beside, like = key + EXPONENTS[signed], torch.empty_like(p, dtype=torch.uint8, requires_grad=False)
    if state.get(key) is None:
        code, exponent = encode(np.full(1, start, np.float32), signed)
        state[key] = like.fill_(int(code[0]))
        state[beside] = torch.full((-(-p.numel() // SEGMENT),), int(exponent[0]), dtype=torch.uint8)
        return {"": state[key], "_exponents": state[beside]}
    _refuse_shape(key, state[key], p)
    if state.get(beside) is None or state[key].stride() != like.stride():
        as_numbers(state, key)
        numbers = torch.empty_like(p, dtype=torch.float32, requires_grad=False).copy_(state[key])
        codes, exponents = encode(_flat(numbers).numpy(), signed)
        _flat(like).copy_(torch.from_numpy(codes))
        state[key], state[beside] = like, torch.from_numpy(exponents)
    return {"": state[key], "_exponents": state[beside]}


def low_half(state: dict[str, Any], p: Tensor) -> Tensor:
    """By how much a parameter was rounded, in units of a float32's last place.

    Raises:
        ValueError: it has another shape than the parameter, or is of no integers.
    """
    like, value = torch.empty_like(p, dtype=torch.int16, requires_grad=False), state.get(LOW)
    if value is None:
        state[LOW] = like.zero_()
        return state[LOW]
    _refuse_shape(LOW, value, p)
    if value.is_floating_point():
        raise ValueError(f"the state {LOW} must be of integers; got {value.dtype}, in which it was rounded")
    if value.dtype is not torch.int16 or value.device != p.device or value.stride() != like.stride():
        state[LOW] = like.copy_(value)
    return state[LOW]


def _refuse_shape(key: str, value: Tensor, p: Tensor) -> None:
    if value.shape != p.shape:
        raise ValueError(
            f"the state {key} has shape {tuple(value.shape)}; its parameter has {tuple(p.shape)}. A parameter that "
            "changes its shape needs new state (delete optimizer.state[p])"
        )


def decoded(codes: Tensor, exponents: Tensor, signed: bool) -> Tensor:
    """The bfloat16 numbers that codes stand for."""
    made = torch.empty_like(codes, dtype=torch.bfloat16)
    _flat(made).copy_(torch.from_numpy(decode(_flat(codes).numpy(), exponents.numpy(), signed)))
    return made


def as_numbers(entry: dict[str, Any], key: str) -> None:
    """Let a state be numbers, if it is in codes: whatever lies beside it says of which kind they are."""
    for signed, suffix in EXPONENTS.items():
        if key + suffix in entry:  # a state that loses nothing is not touched: a change of any makes every plan anew
            exponents = entry.pop(key + suffix)
            entry[key] = decoded(entry[key], exponents, signed)


def handed_out(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's state as numbers, of which every collective of torch's can carry each."""
    found = dict(entry)
    for key in list(found):
        if key in found:
            as_numbers(found, key)
    if LOW in found:
        found[LOW] = found[LOW].int()
    return found


def is_split(kind: str | None) -> bool:
    """Whether a parameter of this kind has its lower half beside it."""
    return kind == HALVES


def _flat(x: Tensor) -> Tensor:
    """The elements in the order in which they lie in memory."""
    return x.as_strided((x.numel(),), (1,))


__all__ = [
    "LOW", "ROUNDINGS", "STATE_DTYPES", "as_numbers", "check_parameter", "chosen", "coded", "decoded", "handed_out",
    "is_split", "kinds", "low_half", "refuse",
]  # fmt: skip
