"""The base of every torch optimizer here: torch's contract outside, one pass over memory inside."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypedDict, Unpack

import torch
import torch.optim.optimizer as torch_optimizer

from stepwell.domain import Decay, Positive, optional
from stepwell.kernels import Stages
from stepwell.kernels.norm import clip_factor
from stepwell.rule import Rule
from stepwell.schedules import rate_at
from stepwell.torch import checks, state
from stepwell.torch.plan import Plan
from stepwell.torch.watched import Parameters, State

Group = dict[str, Any]


class WholeStep(TypedDict, total=False):
    """What `step()` can do beside the rule, in the same pass.

    clip_norm: scale all gradients so that their global norm is at most this (as torch's clip_grad_norm_).
    ema: keep an average of the weights with this decay; `swap_ema()` uses it.
    zero_grad: leave the gradients zero.
    check_finite: raise, before anything changes, if a gradient has a NaN or an infinity.
    """

    clip_norm: float | None
    ema: float | None
    zero_grad: bool
    check_finite: bool


class Optimizer(torch.optim.Optimizer):
    """A torch.optim.Optimizer that runs a rule.

    A subclass gives `rule_of(group)`; `arguments` says where a group keeps each hyperparameter (default: under its own
    name), and `state_names` what the state dict calls each state.
    """

    arguments: ClassVar[Mapping[str, str | tuple[str, int]]] = {}
    state_names: ClassVar[Mapping[str, str]] = {}
    steps_are_saved: ClassVar[bool] = True  # in checkpoints of torch's optimizer of the same name
    _step_supports_amp_scaling = True  # torch.amp.GradScaler then hands us its scale and what it found

    def __init__(self, params: Any, defaults: Group, **whole_step: Unpack[WholeStep]):
        checks.known_options(type(self).__name__, whole_step, WholeStep)
        self._clip_norm = optional(Positive, "clip_norm", whole_step.get("clip_norm"))
        self._ema = optional(Decay, "ema", whole_step.get("ema"))
        self._zero = checks.flag("zero_grad", whole_step.get("zero_grad", False))
        self._check_finite = checks.flag("check_finite", whole_step.get("check_finite", False))
        self._zero_after = False  # a gradient that several parameters share is zeroed when all have read it
        self._plan: Plan | None = None
        self._swapped = False
        super().__init__(params, defaults)
        self.register_state_dict_post_hook(lambda _, packed: state.plain(packed))

    def rule_of(self, group: Group) -> Rule:
        """The rule that a group's options ask for."""
        raise TypeError(f"{type(self).__name__} is a base; use one of stepwell.torch's optimizers, or from_rule")

    # --- groups, state, checkpoints -------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Each parameter's state, by torch's names."""
        return self._state

    @state.setter
    def state(self, entries: Any) -> None:  # pyright: ignore
        self._state = State(entries)
        self._plan = None

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own; refused whole if any option is out of its domain.

        Raises:
            TypeError, ValueError: naming the option, its value and its domain, or the parameter given twice.
        """
        group = {**self.defaults, **param_group}
        if isinstance(group.get("params"), Iterator):
            group["params"] = list(group["params"])
        checks.distinct(group)
        checks.group(self, group)
        if callable(group.get("lr")):
            group |= {state.SCHEDULE: group["lr"], state.UPDATES: 0, "lr": rate_at(group["lr"], 0)}
        super().add_param_group(group)
        self.param_groups[-1]["params"] = Parameters(self.param_groups[-1]["params"])

    def load_state_dict(self, state_dict: Any) -> None:
        """Take over the state of this optimizer or of torch.optim's of the same name.

        Raises:
            ValueError: the state dict does not fit; it says what and where, and nothing has changed.
        """
        self._outside_swap("load_state_dict()")
        checks.mapping(state_dict)
        schedules = [group.get(state.SCHEDULE) for group in self.param_groups]
        loaded: dict[str, Any] = {}

        def checked(_: Any, adapted: dict[str, Any]) -> dict[str, Any]:
            checks.saved(self, adapted)
            loaded.update(adapted)
            return state.exact(self, adapted)

        last = self.register_load_state_dict_pre_hook(checked)  # after the user's own, which may adapt what is loaded
        try:
            super().load_state_dict(state_dict)
        finally:
            last.remove()
        state.own(self, loaded)
        for group, schedule in zip(self.param_groups, schedules, strict=True):
            if schedule is not None:
                done = max(int(group.get(state.UPDATES, 0)), state.steps_done(self, group))
                group |= {state.SCHEDULE: schedule, state.UPDATES: done}

    def state_dict(self) -> dict[str, Any]:
        """As torch's: what `load_state_dict` takes, here and in torch.optim."""
        self._outside_swap("state_dict()")
        return super().state_dict()

    def __getstate__(self) -> dict[str, Any]:
        self._outside_swap("copying the optimizer")
        own = ("_clip_norm", "_ema", "_zero", "_check_finite", "_zero_after")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __setstate__(self, values: dict[str, Any]) -> None:
        values = dict(values)
        entries = values.pop("state", None)
        super().__setstate__(values)
        if entries is not None:
            self._state = State(entries)
        self._plan, self._swapped = None, False
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        if not self._optimizer_state_dict_post_hooks:
            self.register_state_dict_post_hook(lambda _, packed: state.plain(packed))

    def hyperparameters(self, group: Group) -> dict[str, float]:
        """The rule's hyperparameters as a group gives them now."""
        return {name: self.hyperparameter(group, name) for name in self.rule_of(group).hyperparameters}

    def hyperparameter(self, group: Group, name: str) -> float:
        """One of the rule's hyperparameters as a group gives it now."""
        place = self.arguments.get(name, name)
        return float(group[place] if isinstance(place, str) else group[place[0]][place[1]])

    # --- the step -------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: evaluates the model again and returns the loss.

        Returns:
            What the closure returned.

        Raises:
            FloatingPointError: with check_finite, if a gradient is not finite; nothing has changed.
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
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._outside_swap("step()")
        found_inf = getattr(self, "found_inf", None)
        if found_inf is not None and float(found_inf):
            if self._zero:
                self.zero_grad(set_to_none=False)
            return loss
        plan = self._prepared()
        threads = torch.get_num_threads()
        scale = self._gradient_scale(plan, threads)
        for k, group in enumerate(self.param_groups):
            plan.set_scalars(k, self._scalars(group, plan.signatures[k], scale))
        for batch in plan.batches:
            batch.run(threads)
        for loose in plan.loose:
            loose.run(plan.named_scalars(loose.group))
        if self._ema is not None:
            plan.average_resting(self._ema)
        if self._zero_after:
            self.zero_grad(set_to_none=False)
        plan.let_go()
        for group in self.param_groups:
            if group.get(state.SCHEDULE) is not None:
                group[state.UPDATES] += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Let all gradients go, or with set_to_none=False make them zero."""
        if set_to_none and self._plan is not None:
            self._plan.forget_gradients()
        super().zero_grad(set_to_none)

    def _prepared(self) -> Plan:
        amp = getattr(self, "grad_scale", None) is not None
        signatures = [self._signature(group, amp) for group in self.param_groups]
        if self._plan is None or not self._plan.still_holds(self, signatures):
            self._plan = None
            checks.gradients(self, finite=self._check_finite)
            self._plan = Plan(self, signatures)
        if self._zero and not self._zero_after and self._plan.held is None and self._plan.shares_gradients:
            self._zero_after = True
            return self._prepared()
        return self._plan

    def _signature(self, group: Group, amp: bool) -> tuple[Rule, Stages]:
        rule = self.rule_of(group)
        decay = "weight_decay" not in rule.hyperparameters and float(group["weight_decay"]) != 0.0
        scale = amp or bool(group["maximize"]) or self._clip_norm is not None
        return rule, _stages(scale, decay, self._ema is not None, self._zero and not self._zero_after)

    def _gradient_scale(self, plan: Plan, threads: int) -> float:
        """The factor on all gradients: 1 / the loss scale, and clipping; checks them first if asked."""
        if self._check_finite and not plan.all_finite(threads):
            raise FloatingPointError(checks.FINITE)
        amp = getattr(self, "grad_scale", None)
        scale = 1.0 if amp is None else 1.0 / float(amp)
        if self._clip_norm is not None:
            scale *= clip_factor(scale * math.sqrt(plan.sum_of_squares(threads)), self._clip_norm)
        return scale

    def _scalars(self, group: Group, signature: tuple[Rule, Stages], scale: float) -> list[float]:
        """The scalars of a group in its kernel's order: the rule's hyperparameters, then those of the stages."""
        if callable(group.get("lr")):
            group[state.SCHEDULE] = group["lr"]
            group.setdefault(state.UPDATES, state.steps_done(self, group))
        if group.get(state.SCHEDULE) is not None:
            group["lr"] = rate_at(group[state.SCHEDULE], group[state.UPDATES])
        values = list(self.hyperparameters(group).values())
        stages = signature[1]
        if stages.scale:
            values.append(-scale if group["maximize"] else scale)
        if stages.decay:
            values.append(float(group["weight_decay"]))
        if stages.ema:
            values.append(self._ema or 0.0)
        return values

    def _outside_swap(self, what: str) -> None:
        if self._swapped:
            raise RuntimeError(f"{what} inside swap_ema(): the parameters are the averaged ones; leave the block first")

    @contextmanager
    def swap_ema(self) -> Iterator[None]:
        """Within this block the parameters are their averages; afterwards, what they were.

        Raises:
            RuntimeError: the optimizer was made without `ema`, or the block is entered twice.
        """
        if self._ema is None or self._swapped:
            raise RuntimeError("swap_ema() needs an optimizer made with ema=…" if self._ema is None else
                               "swap_ema() is already in force")  # fmt: skip
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


_KINDS: dict[tuple[bool, ...], Stages] = {}


def _stages(*flags: bool) -> Stages:
    if flags not in _KINDS:
        _KINDS[flags] = Stages(*flags)
    return _KINDS[flags]
