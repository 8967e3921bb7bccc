"""Optimizer steps inside the backward pass: each gradient is used as it arrives, and its memory let go.

Never are all gradients there at once; so nothing can go with it that needs them all, as a global norm does, or that may
still change them, as a loss scale or an average over processes does.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from stepwell.torch import checks
from stepwell.torch.plan import Plan
from stepwell.torch.sharding import Shares, is_sharded
from stepwell.torch.state import EMA, follow

_ALONE = "in_backward=True steps each parameter before the other gradients are known"


def refuse(options: dict[str, Any]) -> None:
    """Refuse options of the whole step that need every gradient, or keep them."""
    for name, why in (
        ("clip_norm", "and clip_norm needs the norm of all"),
        ("check_finite", "and check_finite promises that nothing has changed"),
        ("zero_grad", "and lets each gradient go; zero_grad=True would keep it"),
    ):
        if options.get(name):
            raise ValueError(f"{name}={options[name]!r} cannot go with in_backward: {_ALONE}, {why}")


_passes: Any = WeakIdKeyDictionary()  # who steps each parameter


class Pass:
    """The parameters that have been stepped since the last `step()`, each by a plan of its own."""

    def __init__(self, owner: Any):
        self.owner = weakref.ref(owner)
        self.plans: dict[Tensor, tuple[list[dict[str, Any]], Plan]] = {}  # with groups of that one alone
        self.stepped: set[Tensor] = set()
        self.handles: dict[Tensor, Any] = {}
        weakref.finalize(owner, _let_go, self.handles).atexit = False

    def watch(self, params: Iterable[Tensor]) -> None:
        """From now on step these as soon as their gradient is there."""
        for p in params:
            if p.requires_grad and p not in self.handles:
                other = _passes.get(p)
                if other is not None and other.owner() is not None:
                    raise RuntimeError(
                        f"another optimizer with in_backward=True steps a parameter of shape {tuple(p.shape)} already; "
                        "delete it first, and what holds it, as a scheduler does"
                    )
                _passes[p] = self
                self.handles[p] = p.register_post_accumulate_grad_hook(self._arrived)

    def _arrived(self, p: Tensor) -> None:
        owner = self.owner()
        if owner is None or p.grad is None:
            return
        if p in self.stepped:
            p.grad = None  # or step() would use it, and those of no other parameter
            raise RuntimeError(
                f"a parameter of shape {tuple(p.shape)} got a second gradient before step(): with in_backward=True "
                "call step() after every backward(); gradients cannot be accumulated"
            )
        _refuse_average(p)
        owner._outside_swap("backward()")
        self.step(owner, p)

    def step(self, owner: Any, p: Tensor) -> None:
        """Use a gradient, and let it go."""
        k = next((k for k, group in enumerate(owner.param_groups) if any(q is p for q in group["params"])), None)
        if k is None:  # it belongs to no group any more
            self.handles.pop(p).remove()
            return
        signatures = [owner._signature(group, amp=False) for group in owner.param_groups]
        groups, plan = self.plans.get(p, ([], None))
        if len(groups) != len(signatures) or not groups[k]["params"]:
            groups, plan = [{"params": [p] if i == k else []} for i in range(len(signatures))], None
        shares = plan.shares if plan is not None and plan.is_of(groups) else Shares(groups)
        shares.take_gradients()
        if plan is None or plan.shares is not shares or not plan.still_holds(signatures):
            self.plans.pop(p, None)
            checks.gradients(shares.params, finite=False)
            plan = Plan(owner, signatures, shares)
            self.plans[p] = groups, plan
        plan.prepare(torch.get_num_threads())
        shares.count_change()
        plan.set_scalars(k, owner._scalars(owner.param_groups[k], signatures[k], 1.0))
        plan.run(torch.get_num_threads())
        plan.forget_gradients()
        self.stepped.add(p)
        p.grad = None

    def end(self) -> None:
        """The pass is over: gradients that came without one are used now, and the averages of the others move."""
        owner = self.owner()
        assert owner is not None
        for p in [p for group in owner.param_groups for p in group["params"] if p.grad is not None]:
            self.step(owner, p)
        for p in owner.state.keys() - self.stepped:
            if owner._ema is not None and EMA in owner.state[p]:
                owner.settle(p)
                follow(owner.state[p][EMA], p, owner._ema)
        self.stepped.clear()
        self.watch(p for group in owner.param_groups for p in group["params"])


def _refuse_average(p: Tensor) -> None:
    dist = torch.distributed
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1 and not is_sharded(p):
        raise RuntimeError(
            f"in_backward=True in a group of {dist.get_world_size()} processes: {_ALONE}, and this one before "
            "DistributedDataParallel has averaged it; shard the model with fully_shard, or use in_backward=False"
        )


def _let_go(handles: dict[Tensor, Any]) -> None:
    for handle in handles.values():
        handle.remove()
