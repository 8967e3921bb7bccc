"""The base of every torch optimizer here: torch's contract outside, one pass over memory inside."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.optim.optimizer as torch_optimizer

from stepwell.kernels import Stages
from stepwell.rule import Rule
from stepwell.schedules import rate_at
from stepwell.torch import checks, settling, sharding, state
from stepwell.torch.contract import Contract, Group
from stepwell.torch.gpu import capture, device
from stepwell.torch.plan import Plan
from stepwell.torch.sharding import Shares


class Optimizer(Contract):
    """A torch.optim.Optimizer that runs a rule.

    A subclass gives `rule_of(group)`; `arguments` says where a group keeps each hyperparameter (default: under its own
    name), and `state_names` what the state dict calls each state.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: evaluates the model again and returns the loss.

        Returns:
            What the closure returned.

        Raises:
            FloatingPointError: with check_finite, if a gradient is not finite; nothing has changed.
            RuntimeError: with clip_norm or check_finite and sharded parameters, if another process has refused its
                gradients; nothing has changed.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or torch.autograd._profiler_enabled()
            or torch.compiler.is_compiling()
        ):
            return _observed_step(self) if closure is None else _observed_step(self, closure)
        return self._step(closure)

    step.hooked = True  # pyright: ignore[reportFunctionMemberAccess]
    # torch would wrap it to run hooks and profiling; `step` does so where there are any, and breaks a compiled graph

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if self._pass is not None:
            return self._passed(closure)
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._outside_swap("step()")
        if not self.state and sharding.only_state_is_wanted():
            return self._begun(loss)
        found_inf = getattr(self, "found_inf", None)
        if found_inf is not None and not device.takes(found_inf) and float(found_inf):
            return self._skipped(loss)
        threads = torch.get_num_threads()
        try:
            plan = self._prepared()
            alone = plan.is_alone(self, found_inf)
            if found_inf is not None and not alone and float(found_inf):
                return self._skipped(loss)
            plan.prepare(threads)
        except Exception as error:
            settling.tell(self, error)
            raise
        scale = 1.0 if alone else settling.gradient_scale(self, plan, threads)
        if scale is None:
            return self._skipped(loss)
        plan.shares.count_change()
        for k, group in enumerate(self.param_groups):
            plan.set_scalars(k, self._scalars(group, plan.signatures[k], scale))
        plan.run(threads)
        if self._ema is not None:
            plan.average_resting(self._ema, found_inf if alone else None)
        if self._zero_after or (self._zero and plan.shares.moved):
            self.zero_grad(set_to_none=False)
        plan.let_go()
        self._count()
        return loss

    def _count(self) -> None:
        for group in self.param_groups:
            if group.get(state.SCHEDULE) is not None:
                group[state.UPDATES] += 1

    def _passed(self, closure: Any) -> None:
        """The end of a backward pass in which the parameters have been stepped."""
        assert self._pass is not None
        if closure is not None or getattr(self, "grad_scale", None) is not None:
            what = "a GradScaler" if closure is None else "a closure"
            raise RuntimeError(f"{what} cannot go with in_backward=True: the gradients are used in backward() already")
        self._outside_swap("step()")
        self._pass.end()
        self._count()

    def _begun(self, loss: Any) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    state.ready(self, p, group, *self._signature(group, amp=False))
        return loss

    def _skipped(self, loss: Any) -> Any:
        if self._zero:
            self.zero_grad(set_to_none=False)
        return loss

    def catch_up(self, param: torch.Tensor, indices: Any = None) -> None:
        """Let these rows of a parameter see every step so far; all rows where no indices are given.

        With sparse="exact" the rows that no gradient names are behind until they are needed. nn.Embedding and
        nn.EmbeddingBag have theirs brought up to date before they read them; whoever reads the parameter otherwise
        calls this first (or `flush`, for all parameters).

        Args:
            param: one of the optimizer's parameters.
            indices: int32 or int64, of any shape: rows, counted along the axes that gradients name (mostly the first);
                of a DTensor, those of this process's share.

        Raises:
            KeyError: `param` is none of the optimizer's.
            TypeError: indices of another dtype.
            IndexError: a row that the parameter does not have; nothing has changed.
        """
        if not any(p is param for group in self.param_groups for p in group["params"]):
            raise KeyError(f"param must be a parameter of this optimizer; got a tensor of shape {tuple(param.shape)}")
        rows = None if indices is None else checks.indices(indices)
        if rows is None:
            self.settle(param)
        elif param in self.tables:
            self.tables[param].catch_up(rows, torch.get_num_threads())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Let all gradients go, or with set_to_none=False make them zero."""
        if set_to_none and self._plan is not None:
            self._plan.forget_gradients()
        super().zero_grad(set_to_none)

    def _prepared(self) -> Plan:
        plan = self._plan if self._plan is not None and self._plan.is_of(self.param_groups) else None
        shares = Shares(self.param_groups) if plan is None else plan.shares
        shares.take_gradients()
        plan = self._planned(plan, shares)
        if self._zero and not self._zero_after and plan.held is None and plan.shares_gradients:
            self._zero_after = True
            plan = self._planned(plan, shares)
        return plan

    def _planned(self, plan: Plan | None, shares: Shares) -> Plan:
        """The plan, if it is good for the gradients that the shares have taken; else another."""
        amp = getattr(self, "grad_scale", None) is not None
        signatures = [self._signature(group, amp) for group in self.param_groups]
        if plan is None or not plan.still_holds(signatures):
            self._plan = None
            capture.refuse_new_plan(self)
            checks.gradients(shares.params, finite=self._check_finite)
            self._plan = plan = Plan(self, signatures, shares)
        return plan

    def _signature(self, group: Group, amp: bool) -> tuple[Rule, Stages]:
        rule = self.rule_of(group)
        decay = "weight_decay" not in rule.hyperparameters and _may_be_nonzero(group.get("weight_decay", 0.0))
        scale = amp or bool(group["maximize"]) or self._clip_norm is not None
        return rule, _stages(scale, decay, self._ema is not None, self._zero and not self._zero_after)

    def _scalars(self, group: Group, signature: tuple[Rule, Stages], scale: float) -> list[float]:
        """The scalars of a group in its kernel's order: the rule's hyperparameters, then those of the stages."""
        if callable(group.get("lr")):
            group[state.SCHEDULE] = group["lr"]
            group.setdefault(state.UPDATES, state.steps_done(self, group))
        if group.get(state.SCHEDULE) is not None:
            group["lr"] = rate_at(group[state.SCHEDULE], group[state.UPDATES])
        rule, stages = signature
        values = [device.option(self._given(group, name)) for name in rule.hyperparameters]
        if stages.scale:
            values.append(-scale if group["maximize"] else scale)
        if stages.decay:
            values.append(device.option(group["weight_decay"]))
        if stages.ema:
            values.append(self._ema or 0.0)
        return values

    @contextmanager
    def swap_ema(self) -> Iterator[None]:
        """Within this block the parameters are their averages; afterwards, what they were.

        Raises:
            RuntimeError: the optimizer was made without `ema`, or the block is entered twice.
        """
        if self._ema is None or self._swapped:
            raise RuntimeError("swap_ema() needs an optimizer made with ema=…" if self._ema is None else
                               "swap_ema() is already in force")  # fmt: skip
        self.flush()
        averages = {p: entry[state.EMA] for p, entry in self.state.items() if state.EMA in entry}
        with torch.no_grad():
            weights = {p: p.clone(memory_format=torch.preserve_format) for p in averages}
            for p, average in averages.items():
                p.copy_(average)
        self._swapped = True
        try:
            yield
        finally:
            with torch.no_grad():
                for p, weight in weights.items():
                    p.copy_(weight)
            self._swapped = False


_observed_step = torch._disable_dynamo(
    torch.optim.Optimizer.profile_hook_step(lambda self, closure=None: self._step(closure))
)

_stages = functools.cache(Stages)


def _may_be_nonzero(value: Any) -> bool:
    """Whether a number may be other than 0; one on a GPU is not waited for."""
    number = device.option(value)
    return isinstance(number, torch.Tensor) or number != 0.0
