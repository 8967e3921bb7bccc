"""What a step will do, prepared once and kept while nothing it rests on changes."""

import operator
from typing import TYPE_CHECKING

import numpy as np

import torch
from stepwell.kernels import Stages, cpu
from stepwell.rule import Rule
from stepwell.torch import checks, state, watched
from stepwell.torch.batch import DTYPES, Batch, fits
from stepwell.torch.eager import Loose
from torch import Tensor

if TYPE_CHECKING:
    from stepwell.torch.optimizer import Optimizer


class Plan:
    """The batches of kernel work, the parameters that no kernel takes, and the facts they were made for."""

    def __init__(self, owner: "Optimizer", signatures: list[tuple[Rule, Stages]]):
        self.signatures = signatures
        for group in owner.param_groups:
            if type(group["params"]) is not watched.Parameters:
                group["params"] = watched.Parameters(group["params"])
        self.params = [group["params"] for group in owner.param_groups]
        self.grads = [[p.grad for p in params] for params in self.params]
        self.batches: list[Batch] = []
        self.loose: list[Loose] = []
        self.values: list[list[float] | None] = [None] * len(signatures)
        self.rows: list[list[np.ndarray]] = [[] for _ in signatures]  # where each group's scalars are wanted
        self._build(owner)
        self.changes = watched.changes

    def _build(self, owner: "Optimizer") -> None:
        kinds: dict[tuple[Rule, Stages, str], list[tuple[int, Tensor]]] = {}
        for k, (params, (rule, stages)) in enumerate(zip(self.params, self.signatures, strict=True)):
            for p in params:
                if p.grad is None:
                    continue
                checks.gradient(p)
                own = state.ready(owner, p, owner.param_groups[k], rule, stages)
                if cpu.usable() and fits(p, p.grad):
                    kinds.setdefault((rule, stages, DTYPES[p.dtype]), []).append((k, p))
                else:
                    self.loose.append(Loose(p, own, rule, stages, k))
        for (rule, stages, dtype), members in kinds.items():
            self._add_batch(owner, rule, stages, dtype, members)

    def _add_batch(
        self, owner: "Optimizer", rule: Rule, stages: Stages, dtype: str, members: list[tuple[int, Tensor]]
    ) -> None:
        program = cpu.program(rule, stages)
        used = sorted({k for k, _ in members})
        rows = []
        for k, p in members:
            named = {"p": p, "g": p.grad, **state.ready(owner, p, owner.param_groups[k], rule, stages)}
            rows.append([named[name] for name in (*program.arrays, *program.scalar_state, "step")])
        groups = np.zeros((len(used), len(program.scalars)))
        self.batches.append(Batch(rule, stages, dtype, rows, [used.index(k) for k, _ in members], groups))
        for row, k in zip(groups, used, strict=True):
            self.rows[k].append(row)

    def still_holds(self, owner: "Optimizer", signatures: list[tuple[Rule, Stages]]) -> bool:
        """Whether the plan is good for the gradients as they are now; new ones of the old kind are taken in."""
        if self.changes != watched.changes or signatures != self.signatures:
            return False
        fresh = False
        for group, params, grads in zip(owner.param_groups, self.params, self.grads, strict=True):
            if group["params"] is not params:
                return False
            now = [p.grad for p in params]
            if not all(map(operator.is_, now, grads)):
                if not all(map(_alike, params, now, grads)):
                    return False
                grads[:] = now
                fresh = True
        if fresh:
            for batch in self.batches:
                batch.take_gradients([g for p in batch.parameters if (g := p.grad) is not None])
        return all(batch.locate() for batch in self.batches)

    def all_finite(self, threads: int) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return all(b.all_finite(threads) for b in self.batches) and all(x.gradient_is_finite() for x in self.loose)

    def sum_of_squares(self, threads: int) -> float:
        """Σg² over all parameters."""
        return sum(b.sum_of_squares(threads) for b in self.batches) + sum(x.sum_of_squares() for x in self.loose)

    def named_scalars(self, k: int) -> dict[str, float]:
        """Group k's scalars by name."""
        rule, stages = self.signatures[k]
        return dict(zip((*rule.hyperparameters, *stages.scalars), self.values[k] or (), strict=True))

    def set_scalars(self, k: int, values: list[float]) -> None:
        """Give group k its scalars for this step."""
        if values != self.values[k]:
            self.values[k] = values
            for row in self.rows[k]:
                row[:] = values


def _alike(p: Tensor, new: Tensor | None, old: Tensor | None) -> bool:
    """Whether a kernel made for the old gradient can read the new one."""
    if new is None or old is None:
        return new is old
    return new is old or (
        type(new) is Tensor
        and new.layout is torch.strided
        and new.dtype is old.dtype
        and new.device == old.device
        and (new.stride() == old.stride() or (new.is_contiguous() and p.is_contiguous()))
    )
