"""torch's contract: options, parameter groups, state and checkpoints."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypedDict, Unpack

import torch

from stepwell.domain import Decay, Positive, optional
from stepwell.kernels.table import MODES
from stepwell.rule import Rule
from stepwell.schedules import rate_at
from stepwell.torch import checks, narrow, portable, reading, state
from stepwell.torch.in_backward import Pass
from stepwell.torch.in_backward import refuse as refuse_in_backward
from stepwell.torch.plan import Plan
from stepwell.torch.rows import Rows
from stepwell.torch.watched import Parameters, State

Group = dict[str, Any]


LATER: dict[str, Any] = {  # what optimizers that were pickled by earlier versions lack
    "_state_dtype": None, "_rounding": "nearest", "_in_backward": False, "_whole_step": {},
}  # fmt: skip


class WholeStep(TypedDict, total=False):
    """What `step()` can do beside the rule, in the same pass.

    clip_norm: scale all gradients so that their global norm is at most this (as torch's clip_grad_norm_); of sharded
        parameters (DTensors), the norm over all processes.
    ema: keep an average of the weights with this decay; `swap_ema()` uses it.
    zero_grad: leave the gradients zero.
    check_finite: raise, before anything changes, if a gradient has a NaN or an infinity.
    sparse: what sparse gradients mean for the rows that they do not name. "lazy": nothing (but the step count and the
        average move on); "exact": a gradient of 0, as a dense one has there; see `Optimizer.catch_up`.
    state_dtype: keep the rule's state in less memory than the parameters: "bfloat16", rounded stochastically, or
        "8bit", with an exponent for each 1024 numbers; or keep that of half-precision parameters in "float32".
    rounding: how bfloat16 parameters are written: to the "nearest" number, as torch does, by which steps below half a
        unit in the last place are lost; "stochastic"ally, by which they are right on average; or "compensated": what
        was rounded away is kept, in 2 bytes a parameter, and training is that of float32 weights.
    in_backward: step each parameter inside backward(), as soon as its gradient is there, and let the gradient go;
        step() then ends the pass. Not with what needs all gradients at once, such as clip_norm.
    """

    clip_norm: float | None
    ema: float | None
    zero_grad: bool
    check_finite: bool
    sparse: str
    state_dtype: str | None
    rounding: str
    in_backward: bool


class Contract(torch.optim.Optimizer):
    """An optimizer of torch in all but its step: options, groups, state and checkpoints, each checked."""

    _portable = portable  # what stepwell.checkpoint calls

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
        self.sparse = checks.one_of("sparse", whole_step.get("sparse", MODES[0]), MODES)
        self._state_dtype = whole_step.get("state_dtype")
        if self._state_dtype is not None:
            checks.one_of("state_dtype", self._state_dtype, narrow.STATE_DTYPES)
        self._in_backward = checks.flag("in_backward", whole_step.get("in_backward", False))
        if self._in_backward:
            refuse_in_backward(dict(whole_step))
        self._pass = Pass(self) if self._in_backward else None
        self._rounding = checks.one_of("rounding", whole_step.get("rounding", narrow.ROUNDINGS[0]), narrow.ROUNDINGS)
        self.tables: dict[torch.Tensor, Rows] = {}
        self._zero_after = False  # a gradient that several parameters share is zeroed when all have read it
        self._plan: Plan | None = None
        self._swapped = False
        self._whole_step = dict(whole_step)
        super().__init__(params, defaults)
        self.register_state_dict_post_hook(state.plain)

    def rule_of(self, group: Group) -> Rule:
        """The rule that a group's options ask for."""
        raise TypeError(f"{type(self).__name__} is a base; use one of stepwell.torch's optimizers, or from_rule")

    @property
    def state(self) -> State:
        """Each parameter's state, by torch's names."""
        return self._state

    @state.setter
    def state(self, entries: Any) -> None:  # pyright: ignore
        self._state = State(entries)
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._plan = None
        if self._pass is not None:
            self._pass.plans.clear()

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own; refused whole if any option is out of its domain.

        Raises:
            TypeError, ValueError: naming the option, its value and its domain, or the parameter given twice.
        """
        group = {**self.defaults, **param_group}
        if isinstance(group.get("params"), Iterator):
            group["params"] = list(group["params"])
        checks.distinct(group)
        checks.of_the_whole(self._whole_step, group)
        checks.group(self, group)
        checks.narrowed(self, group)
        if callable(group.get("lr")):
            group |= {state.SCHEDULE: group["lr"], state.UPDATES: 0, "lr": rate_at(group["lr"], 0)}
        super().add_param_group(group)
        self.param_groups[-1]["params"] = Parameters(self.param_groups[-1]["params"])
        if self._pass is not None:
            self._pass.watch(self.param_groups[-1]["params"])
        if self.sparse == "exact":
            reading.watch(self, self.param_groups[-1]["params"])

    def load_state_dict(self, state_dict: Any) -> None:
        """Take over the state of this optimizer or of torch.optim's of the same name.

        Raises:
            ValueError: the state dict does not fit; it says what and where, and nothing has changed.
        """
        self._outside_swap("load_state_dict()")
        self.flush()
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
        self.flush()
        return super().state_dict()

    def __getstate__(self) -> dict[str, Any]:
        self._outside_swap("copying the optimizer")
        self.flush()
        own = (
            "_clip_norm", "_ema", "_zero", "_check_finite", "_zero_after", "_state_dtype", "_rounding", "_in_backward",
            "_whole_step", "sparse",
        )  # fmt: skip
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __setstate__(self, values: dict[str, Any]) -> None:
        values = {**{k: v for k, v in LATER.items() if k not in vars(self)}, **values}
        entries = values.pop("state", None)
        super().__setstate__(values)
        if entries is not None:
            self._state = State(entries)
        self._swapped = False
        self._pass = vars(self).get("_pass") or (Pass(self) if self._in_backward else None)
        self._forget_plans()
        self.tables = vars(self).get("tables", {})
        self.tables.clear()  # and not another one: who settles the rows when the optimizer goes has this one
        for group in self.param_groups:
            if self.sparse == "exact":
                reading.watch(self, group["params"])
            if self._pass is not None:
                self._pass.watch(group["params"])
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        if not self._optimizer_state_dict_post_hooks:
            self.register_state_dict_post_hook(state.plain)

    def flush(self) -> None:
        """Let every row of every table see every step so far.

        With dense gradients, or sparse="lazy" without `ema`, there is nothing to do. Saving, loading, copying and
        deleting the optimizer do so by themselves, and the state dict of an embedding layer; whoever reads a weight
        otherwise, or copies the model, calls it first.
        """
        for rows in self.tables.values():
            rows.refuse_moved()
        for rows in self.tables.values():
            rows.flush()

    def settle(self, p: torch.Tensor) -> None:
        """Let every row of one parameter see every step so far."""
        if p in self.tables:
            self.tables[p].flush()

    def hyperparameters(self, group: Group) -> dict[str, float]:
        """The rule's hyperparameters as a group gives them now."""
        return {name: self.hyperparameter(group, name) for name in self.rule_of(group).hyperparameters}

    def hyperparameter(self, group: Group, name: str) -> float:
        """One of the rule's hyperparameters as a group gives it now."""
        return float(self._given(group, name))

    def _given(self, group: Group, name: str) -> Any:
        place = self.arguments.get(name, name)
        return group[place] if isinstance(place, str) else group[place[0]][place[1]]

    def _outside_swap(self, what: str) -> None:
        if self._swapped:
            raise RuntimeError(f"{what} inside swap_ema(): the parameters are the averaged ones; leave the block first")
