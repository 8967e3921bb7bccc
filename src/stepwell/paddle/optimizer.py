# pyright: reportMissingImports=false
"""The base of every Paddle optimizer here: Paddle's contract outside, one pass over memory inside."""

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle.base import framework

from stepwell.domain import Rate, check
from stepwell.host.engine import Engine
from stepwell.paddle import gradients, loading, portable
from stepwell.paddle.checks import refuse_twins
from stepwell.paddle.entry import LOW, Entry, dtype_of, form_of
from stepwell.paddle.gradients import Pair
from stepwell.paddle.groups import Group, Grouped
from stepwell.paddle.plan import Plan
from stepwell.paddle.planning import planned
from stepwell.paddle.rates import Following
from stepwell.rule import Rule


class Optimizer(Grouped):
    """A paddle.optimizer.Optimizer that runs a rule."""

    _portable = portable  # what stepwell.checkpoint calls

    def _prepare(self) -> None:
        """What must stand before Paddle's own constructor runs; RuntimeError while Paddle builds static graphs."""
        _dynamic()
        self._entries: dict[str, Entry] = {}
        self._plans: dict[int, tuple[list[Any], Plan]] = {}
        self._engines: dict[Any, Engine] = {}
        self._resumed: set[str | None] = set()

    @paddle.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises:
            RuntimeError: within a static graph.
            ValueError: a gradient of another shape than its parameter, a rate that is negative or not finite, or a
                parameter that is no longer of its state's shape and dtype; nothing has changed.
        """
        self._run([(group, gradients.pairs(params)) for group, params in self._grouped()])

    @paddle.no_grad()
    def minimize(
        self, loss: Any, startup_program: Any = None, parameters: Any = None, no_grad_set: Any = None
    ) -> tuple[list[Any], list[Pair]]:
        """As `step`, after the caller's `loss.backward()`.

        Args:
            loss: the loss; Paddle's contract asks for it.
            parameters: those to update, of this optimizer's; all if None.
            startup_program, no_grad_set: without meaning in dynamic graphs, as in Paddle.

        Returns:
            An empty list, and what was updated beside its gradients.
        """
        wanted = None if not parameters else {id(p) for p in parameters}
        found = [
            (group, [pair for pair in gradients.pairs(params) if wanted is None or id(pair[0]) in wanted])
            for group, params in self._grouped()
        ]
        self._run(found)
        return [], [pair for _, pairs in found for pair in pairs]

    def apply_gradients(self, params_grads: Sequence[Pair]) -> list[Any]:
        """One step with these gradients, clipped and decayed as in `step`."""
        return self._apply_optimize(None, None, list(params_grads))

    @paddle.no_grad()
    def _apply_optimize(
        self, loss: Any, startup_program: Any, params_grads: Any, param_group_idx: int = 0
    ) -> list[Any]:
        group = params_grads if isinstance(params_grads, dict) else None
        pairs = params_grads if group is None else group["params"]
        self._run([(group, [(p, g) for p, g in pairs if g is not None and not p.stop_gradient])])
        return []

    @framework.dygraph_only
    def set_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` of this class, or of Paddle's own of that name, returned.

        Raises:
            ValueError: state that this optimizer has is missing, or of another shape or dtype; nothing has changed.
        """
        self._take_over(dict(state_dict))

    load_state_dict = set_state_dict

    def state_dict(self) -> dict[str, Any]:
        """As Paddle's, and what was loaded for parameters that have not had a gradient since."""
        return {**self._accumulators_holder, **super().state_dict()}

    def _add_accumulator(self, name: str, param: Any, *args: Any, **kwargs: Any) -> Any:
        """As Paddle's; the state that was loaded for it must be there and fit."""
        own = self._accumulators[name if self._name is None else f"{self._name}_{name}"]
        if param.name in own:
            return own[param.name]
        loaded, self._accumulators_holder = self._accumulators_holder, {}
        try:
            made = super()._add_accumulator(name, param, *args, **kwargs)
        finally:
            self._accumulators_holder = loaded
        try:
            loading.resume(self, made, param)
        except ValueError:
            del own[param.name]
            raise
        return made

    def _add_param_group(self, param_group: Group) -> None:
        params = param_group["params"]
        if not isinstance(params, (paddle.Tensor, set)):  # Paddle's own refuses a set
            param_group["params"] = params = list(params)
            refuse_twins([*self._all(), *params])
        super()._add_param_group(param_group)

    def __deepcopy__(self, memo: Any) -> Any:
        """Refused, as Paddle's: state is kept by the names of parameters, and their copies have others."""
        raise TypeError(f"cannot copy {type(self).__name__}: make one of the copied parameters")

    def _take_over(self, state_dict: dict[str, Any]) -> None:
        loading.take_over(self, state_dict)
        self._entries.clear()
        self._plans.clear()
        self._engines.clear()

    def use_fusion_storage(self) -> None:
        """Refused: Paddle's one buffer of all states is for its own kernels."""
        raise NotImplementedError("use_fusion_storage() is not supported; each state is a tensor of its own")

    def _run(self, found: Sequence[tuple[Group | None, list[Pair]]]) -> None:
        _dynamic()
        if self._skips():
            return
        for _, pairs in found:
            gradients.refuse_odd(pairs)
        steps = [planned(self, k, group, pairs) for k, (group, pairs) in enumerate(found) if pairs]
        for plan, grads, ahead, lazy in steps:
            plan.run(grads, ahead, lazy)
        if isinstance(self._learning_rate, Following):
            self._learning_rate.move_to(self._learning_rate.last_epoch + 1)

    def _skips(self) -> bool:
        """Whether a GradScaler found gradients that are not finite; it reads the answer back."""
        found = self._get_auxiliary_var("found_inf")
        if found is None:
            return False
        self._set_auxiliary_var("found_inf", bool(found))
        return bool(found)

    def _lr(self) -> float:
        return check(Rate, "learning_rate", self.get_lr())

    def _entry(self, p: Any, rule: Rule) -> Entry:
        old, by_master = self._entries.get(p.name), self._by_master(p)
        if old is not None and old.serves(p, rule, by_master):
            return old
        if old is not None and old.arrays and old.has_master != by_master:
            wants = "a master weight" if by_master else "no master weight"
            raise ValueError(
                f"{p.name}, which is {form_of(p)} now, wants {wants}, and its state was made for the opposite: "
                "make the optimizer anew (amp.decorate goes before the first step)"
            )
        made = self._made(p, rule)
        if old is not None:
            made.follow(old)
        self._entries[p.name] = made
        return made

    def _by_master(self, p: Any) -> bool:
        """Whether a master weight is updated for a parameter."""
        return bool(self._multi_precision) and dtype_of(p) in LOW

    def _target(self, p: Any) -> Any:
        """What is updated for a parameter: itself, or its master weight in single precision."""
        return self._create_master_weight(p) if self._by_master(p) else p


def _dynamic() -> None:
    if not paddle.in_dynamic_mode() or paddle.base.dygraph.base.in_to_static_mode():
        raise RuntimeError("stepwell.paddle updates tensors of dynamic graphs; call paddle.disable_static() first")
