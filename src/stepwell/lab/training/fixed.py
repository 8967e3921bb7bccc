"""Which models and losses do the same at every step: those that a trace of one step can stand for.

What is not sure is taken for changing; the loss costs then what it costs, and is right.
"""

import dis
import functools
import itertools
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

STORES = {"STORE_GLOBAL", "STORE_ATTR", "STORE_DEREF", "STORE_SUBSCR", "DELETE_GLOBAL"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def model_is_fixed(model: "nn.Module") -> bool:
    """Whether a model is made of torch's own modules alone, with nothing hung on them."""
    return all(
        type(part).__module__.startswith("torch.nn.modules")
        and not any(getattr(part, hooks, None) for hooks in HOOKS)
        and "forward" not in vars(part)
        for part in model.modules()
    )


def is_fixed(value: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a value that a loss is or uses is a constant, one of torch's, or a function of nothing but such values.

    >>> import torch
    >>> is_fixed(lambda output, target: (output - target).square().mean())
    True
    >>> import random
    >>> is_fixed(lambda output, target: random.random() * (output - target).square().mean())
    False
    """
    import torch

    if value is None or isinstance(value, int | float | str | torch.Tensor | torch.dtype):
        return True
    if isinstance(value, tuple):
        return all(is_fixed(each, seen) for each in value)
    if isinstance(value, torch.nn.Module):
        return model_is_fixed(value)
    if isinstance(value, functools.partial):
        return all(is_fixed(each, seen) for each in (value.func, *value.args, *value.keywords.values()))
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] == "torch"
    if str(getattr(value, "__module__", None)).partition(".")[0] == "torch" and callable(value):
        return True
    return isinstance(value, types.FunctionType) and (id(value) in seen or _reads_fixed(value, seen | {id(value)}))


def _reads_fixed(function: types.FunctionType, seen: frozenset[int]) -> bool:
    """Whether a function of the user's keeps nothing, and reads only what is fixed."""
    codes = [function.__code__]
    for code in codes:  # those of functions inside it follow
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    for each in itertools.chain.from_iterable(map(dis.get_instructions, codes)):
        foreign = each.opname == "IMPORT_NAME" and str(each.argval).partition(".")[0] != "torch"
        if foreign or each.opname in STORES:
            return False
    names = {name for code in codes for name in code.co_names}
    read = [function.__globals__[name] for name in names if name in function.__globals__]
    read += [cell.cell_contents for cell in function.__closure__ or ()]
    read += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return all(is_fixed(each, seen) for each in read)
