"""Rows that are behind are brought up to date before a layer reads them.

torch calls one hook before every module's forward while an optimizer in exact mode lives; it looks at nn.Embedding and
nn.EmbeddingBag alone. Those that read a table otherwise call the optimizer's `catch_up`, or `flush`.
"""

import contextlib
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Embedding, EmbeddingBag
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.weak import WeakIdKeyDictionary

from stepwell.torch.rows import Rows

if TYPE_CHECKING:
    from stepwell.torch.contract import Contract

_owners: Any = WeakIdKeyDictionary()  # a weak reference to the optimizer of each watched parameter
_living: "weakref.WeakSet[Contract]" = weakref.WeakSet()
_hooks: list[Any] = []
_settling: "weakref.WeakKeyDictionary[torch.nn.Module, list[Any]]" = weakref.WeakKeyDictionary()  # their hooks


def watch(owner: "Contract", params: Iterable[torch.Tensor]) -> None:
    """From now on bring rows of these up to date before a layer reads them.

    It begins with the optimizer, not with its first sparse gradient: a compiled model keeps the hooks that it found.
    An optimizer that had the parameter before settles it.
    """
    for p in params:
        if (former := _owner(p)) not in (None, owner):
            former.settle(p)
        _owners[p] = weakref.ref(owner)
    if owner not in _living:
        _living.add(owner)
        weakref.finalize(owner, _let_go, owner.tables).atexit = False
    if not _hooks:
        _hooks.append(register_module_forward_pre_hook(_before_forward))


def _let_go(tables: dict[torch.Tensor, Rows]) -> None:
    """An optimizer is gone: its rows see the steps that they have missed; with the last one the hook goes too."""
    for rows in tables.values():
        with contextlib.suppress(RuntimeError):  # a table was replaced: there is nothing to settle any more
            rows.flush()
    if _hooks and not list(_living):
        _hooks.pop().remove()
        for handle in (handle for handles in _settling.values() for handle in handles):
            handle.remove()
        _settling.clear()


def _before_forward(module: Any, inputs: tuple[Any, ...]) -> None:
    if isinstance(module, (Embedding, EmbeddingBag)):
        (_outside_graphs if torch.compiler.is_compiling() else _bring_up)(module, inputs)


@torch.no_grad()
def _bring_up(module: Any, inputs: tuple[Any, ...]) -> None:
    owner = _owner(module.weight)
    if owner is None:
        return
    if module not in _settling:
        register = (module.register_state_dict_pre_hook, module.register_load_state_dict_pre_hook)
        _settling[module] = [each(_settle) for each in register]
    rows = owner.tables.get(module.weight)
    if rows is None or rows.table is None or not rows.table.is_behind:
        return
    indices = inputs[0] if inputs else None
    if not _reads_just(module) or not isinstance(indices, torch.Tensor) or rows.table.count != module.num_embeddings:
        rows.flush()
    elif indices.dtype in (torch.int32, torch.int64) and indices.device.type == "cpu":
        try:
            found = indices.reshape(-1).contiguous().numpy()
        except RuntimeError:  # a tensor with no memory of its own, as under torch.func.vmap
            rows.flush()
        else:
            rows.catch_up(found, torch.get_num_threads())


def _reads_just(module: Any) -> bool:
    """Whether a layer reads the rows that it is given by position, and no others.

    Whoever evaluates may read the whole table, and a forward or a hook of the user's own may change the indices.
    """
    plain = type(module).forward in (Embedding.forward, EmbeddingBag.forward)
    return module.training and plain and not module._forward_pre_hooks


_outside_graphs = torch._disable_dynamo(_bring_up)


def _settle(module: Any, *_: Any) -> None:
    """A module's state dict has rows that have seen every step; and what is loaded is not moved by those before it."""
    if (owner := _owner(module.weight)) is not None:
        owner.settle(module.weight)


def _owner(p: torch.Tensor) -> Any:
    reference = _owners.get(p)
    return None if reference is None else reference()
