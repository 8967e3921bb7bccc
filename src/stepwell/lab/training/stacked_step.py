"""The optimizers' steps over stacked parameters: a kernel call a rule, each trial with hyperparameters of its own."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stepwell.kernels import Stages, cpu, norm, pool
from stepwell.kernels.source import ADDRESSES, LENGTH, RESTING
from stepwell.lab.candidates import Candidate
from stepwell.lab.task import Task
from stepwell.lab.training.plain import threads_here
from stepwell.lab.trial import Trial
from stepwell.rule import Rule

if TYPE_CHECKING:
    from torch import Tensor

GRADIENT = ADDRESSES + 1
PAYS = 1 << 17  # elements from which on a second thread is worth waking


def refusal(candidates: Sequence[Candidate], parameters: Sequence["Tensor"] = ()) -> str:
    """Why these optimizers cannot step these parameters stacked; empty if they can."""
    if not cpu.usable():
        return "Numba's compiler is switched off"
    for candidate in candidates:
        if candidate.rule is None:
            return f"{candidate.name} is not a rule, so it steps one model at a time"
        if cpu.program(candidate.rule, Stages()).by_rows:
            return f"{candidate.name} reads whole rows of a parameter"
    for p in parameters:
        if p.device.type != "cpu" or str(p.dtype) not in ("torch.float32", "torch.float64"):
            return f"a parameter is {p.dtype} on {p.device}; kernels for stacks take float32 and float64 on the CPU"
    return ""


class StackedStep:
    """The steps of all trials of a stack.

    Args:
        trials: in the order of the stack. parameters: each of shape (trials, *its own).
    """

    def __init__(
        self, task: Task, candidates: Mapping[str, Candidate], trials: Sequence[Trial], parameters: Sequence["Tensor"]
    ):
        self.clip_norm = task.clip_norm
        factor = task.rate(trials[0].steps)
        self.factor = None if task.schedule is None else factor
        self.count = 0
        places: dict[tuple[Rule, bool], list[int]] = {}
        for place, trial in enumerate(trials):
            rule = candidates[trial.optimizer].rule
            assert rule is not None
            decays = "weight_decay" not in rule.hyperparameters and dict(trial.hyper).get("weight_decay", 0.0) != 0.0
            places.setdefault((rule, decays), []).append(place)
        self.parts = [
            _Part(rule, Stages(scale=self.clip_norm is not None, decay=decays), [trials[k] for k in members], members)
            for (rule, decays), members in places.items()
        ]
        for part in self.parts:
            part.begin(parameters)

    def step(self, gradients: Sequence["Tensor | None"]) -> None:
        """One step in place; a parameter without a gradient rests."""
        gradients = [None if g is None else g.contiguous() for g in gradients]
        scale = self._scale(gradients)
        factor = 1.0 if self.factor is None else float(self.factor(self.count))
        self.count += 1
        for part in self.parts:
            part.step(gradients, factor, scale)

    def _scale(self, gradients: Sequence["Tensor | None"]) -> np.ndarray | None:
        """For each trial the factor that clips the norm of all its gradients."""
        if self.clip_norm is None:
            return None
        squares = sum(g.double().square().reshape(len(g), -1).sum(1) for g in gradients if g is not None)
        norms = np.sqrt(np.asarray(squares))
        return np.array([norm.clip_factor(each, self.clip_norm) for each in norms.tolist()])

    def keep(self, places: list[int], parameters: Sequence["Tensor"]) -> None:
        """Go on with the trials at these places, whose parameters are now these."""
        renumbered = {old: new for new, old in enumerate(places)}
        self.parts = [part for part in self.parts if part.keep(renumbered)]
        for part in self.parts:
            part.place(parameters)


class _Part:
    """The trials of one rule.

    Args:
        members: their places in the stack.
    """

    def __init__(self, rule: Rule, stages: Stages, trials: Sequence[Trial], members: list[int]):
        self.members = members
        given = [trial.settings for trial in trials]
        decays = [each.pop("weight_decay") if stages.decay else 0.0 for each in given]
        self.hyper = [rule.complete(each) for each in given]
        rows = [{**h, "l2_decay": d, "grad_scale": 1.0} for h, d in zip(self.hyper, decays, strict=True)]
        scalars = cpu.program(rule, stages).scalars
        self.groups = np.array([[row[name] for name in scalars] for row in rows], np.float64)
        self.columns = {name: k for k, name in enumerate(scalars)}
        self.rates = np.array([h["lr"] for h in self.hyper])
        self.rule, self.stages = rule, stages
        self.tables: list[_Table] = []

    def begin(self, parameters: Sequence["Tensor"]) -> None:
        """Make the state, at its start."""
        for dtype in dict.fromkeys(p.dtype for p in parameters):
            which = [k for k, p in enumerate(parameters) if p.dtype == dtype]
            self.tables.append(_Table(self.rule, self.stages, self.hyper, which, parameters))
        self.place(parameters)

    def place(self, parameters: Sequence["Tensor"]) -> None:
        """Write down where everything lies."""
        for table in self.tables:
            table.place(parameters, self.members)

    def step(self, gradients: Sequence["Tensor | None"], factor: float, scale: np.ndarray | None) -> None:
        """One step of these trials."""
        self.groups[:, self.columns["lr"]] = self.rates * factor
        if scale is not None:
            self.groups[:, self.columns["grad_scale"]] = scale[self.members]
        for table in self.tables:
            table.step(gradients, self.groups)

    def keep(self, renumbered: Mapping[int, int]) -> bool:
        """Go on with the members that have a new place; says whether there are any."""
        kept = [k for k, member in enumerate(self.members) if member in renumbered]
        self.members = [renumbered[self.members[k]] for k in kept]
        self.groups, self.rates = self.groups[kept], self.rates[kept]
        for table in self.tables:
            table.keep(kept)
        return bool(kept)


class _Table:
    """The parameters of one dtype: rows by parameter, then by trial."""

    def __init__(
        self,
        rule: Rule,
        stages: Stages,
        hyper: Sequence[Mapping[str, float]],
        which: list[int],
        parameters: Sequence["Tensor"],
    ):
        program = cpu.program(rule, stages)
        storage = str(parameters[which[0]].dtype).removeprefix("torch.")
        self.kernel = cpu.kernel(rule, stages, (storage,) * len(program.arrays))
        self.which = which
        self.state = [[_start(rule, name, parameters[k], hyper) for name in program.arrays[2:]] for k in which]
        numbers = [[rule.start_of(name, h) for name in program.scalar_state] for h in hyper]
        each = np.array([[0.0, *row] for row in numbers])
        self.clock = np.tile(each, (len(which), 1, 1))  # (parameter, trial, t and the scalar state)
        self.some_rest = False

    def place(self, parameters: Sequence["Tensor"], members: list[int]) -> None:
        """Write down where everything lies, but the gradients."""
        count = len(members)
        lengths = [parameters[k][0].numel() for k in self.which]
        table = self.kernel.table(np.repeat(lengths, count).tolist(), [*range(count)] * len(self.which))
        self.rows = table.reshape(len(self.which), count, -1)
        self.lengths = self.rows[:, :, LENGTH].copy()
        self.numbers = np.ascontiguousarray(self.clock[:, :, 1:])
        for row, k, state in zip(self.rows, self.which, self.state, strict=True):
            row[:, ADDRESSES] = _addresses(parameters[k], members)
            for j, array in enumerate(state, GRADIENT + 1):
                row[:, j] = _addresses(array, range(count))
        if width := self.numbers.shape[2]:
            at = self.numbers.ctypes.data + 8 * np.arange(self.numbers.size).reshape(self.numbers.shape)
            self.rows[:, :, -width:] = at
        sizes = [length * parameters[k].element_size() for length, k in zip(lengths, self.which, strict=True)]
        self.offsets = np.outer(sizes, members)  # of each trial's gradient in its stack, which is contiguous
        self.flat = table, self.clock.reshape(len(table), -1)
        self.elements = sum(lengths) * count

    def step(self, gradients: Sequence["Tensor | None"], groups: np.ndarray) -> None:
        """One step in place."""
        own = [gradients[k] for k in self.which]
        rests = np.array([g is None for g in own])
        at = np.array([0 if g is None else g.data_ptr() for g in own])
        self.rows[:, :, GRADIENT] = self.offsets + at[:, None]
        if rests.any() or self.some_rest:
            self.rows[:, :, LENGTH] = np.where(rests[:, None], RESTING, self.lengths)
            self.some_rest = bool(rests.any())
        self.clock[:, :, 0] += ~rests[:, None]
        if self.numbers.size:
            self.clock[:, :, 1:] = self.numbers
        table, clock = self.flat
        threads = min(pool.cores(), threads_here()) if self.elements > PAYS else 1
        cpu.over_blocks(functools.partial(self.kernel.function, table, clock, groups), table, threads, PAYS)

    def keep(self, kept: list[int]) -> None:
        self.clock[:, :, 1:] = self.numbers
        self.clock = np.ascontiguousarray(self.clock[:, kept])
        self.state = [[array[kept] for array in state] for state in self.state]


def _start(rule: Rule, name: str, p: "Tensor", hyper: Sequence[Mapping[str, float]]) -> "Tensor":
    import torch

    starts = torch.tensor([rule.start_of(name, h) for h in hyper], dtype=p.dtype)
    return starts.reshape(-1, *[1] * (p.ndim - 1)).expand(-1, *p.shape[1:]).clone()


def _addresses(stacked: "Tensor", places: Sequence[int]) -> np.ndarray:
    """Where the parts of a stack begin."""
    return stacked.data_ptr() + np.asarray(places, np.int64) * (stacked.stride(0) * stacked.element_size())
