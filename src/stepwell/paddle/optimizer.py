# pyright: reportMissingImports=false
"""The base of every Paddle optimizer here: Paddle's contract outside, one pass over memory inside."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import paddle
from paddle.base import framework

from stepwell.domain import Rate, check
from stepwell.host.engine import Engine
from stepwell.paddle import gradients, portable
from stepwell.paddle.entry import LOW, Entry, dtype_of
from stepwell.paddle.gradients import Pair
from stepwell.paddle.plan import Plan
from stepwell.paddle.planning import planned
from stepwell.paddle.rates import Following
from stepwell.rule import Rule

if TYPE_CHECKING:
    from stepwell.checkpoint.snapshot import Snapshot

Group = dict[str, Any]


class Optimizer(paddle.optimizer.Optimizer):
    """A paddle.optimizer.Optimizer that runs a rule.

    A subclass gives `_rule`, `_hyper` and `_made`, for the group that `_update_param_group` was told of last.
    """

    def _prepare(self) -> None:
        """What must stand before Paddle's own constructor runs; RuntimeError while Paddle builds static graphs."""
        _dynamic()
        self._entries: dict[str, Entry] = {}
        self._plans: dict[int, tuple[list[Any], Plan]] = {}
        self._engines: dict[Any, Engine] = {}

    def _refuse_twins(self) -> None:
        """Refuse a parameter that was given twice."""
        seen: set[int] = set()
        for p in (p for _, params in self._grouped() for p in params or ()):
            if id(p) in seen:
                raise ValueError(f"parameters holds {p.name} twice; each tensor may be given once")
            seen.add(id(p))

    def _rule(self) -> Rule:
        """The rule of the group."""
        raise NotImplementedError

    def _hyper(self) -> dict[str, float]:
        """Its hyperparameters but for the learning rate."""
        raise NotImplementedError

    def _made(self, p: Any, rule: Rule) -> Entry:
        """What is kept beside a parameter, made anew or found in Paddle's accumulators."""
        raise NotImplementedError

    def _single(self, p: Any) -> tuple[float, dict[str, float]]:
        """A factor on this parameter's learning rate, and hyperparameters that are its own."""
        return _PLAIN

    def _regularizer(self, p: Any) -> Any:
        """What decays a parameter: its own regularizer, else the optimizer's."""
        own = getattr(p, "regularizer", None)
        return self.regularization if own is None else own

    def _gradient_scale(self) -> float:
        """A factor on every gradient of the group."""
        return 1.0

    def _sparse(self) -> str:
        """What gradients of rows mean for the group's other rows: "lazy" or "exact"."""
        return "exact"

    def _ahead(self, g: Any) -> int:
        """How far the step that the rule is told of lies ahead of the true one."""
        return 0

    @paddle.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises:
            RuntimeError: within a static graph.
            ValueError: a gradient of another shape than its parameter, or a rate that is negative or not finite;
                nothing has changed.
        """
        self._run([(group, _pairs(params)) for group, params in self._grouped()])

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
            (group, [pair for pair in _pairs(params) if wanted is None or id(pair[0]) in wanted])
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
            ValueError: state that this optimizer has is missing, or of another shape; nothing has changed.
        """
        self._take_over(dict(state_dict))

    load_state_dict = set_state_dict

    def _take_over(self, state_dict: dict[str, Any]) -> None:
        for accumulators in self._accumulators.values():
            for own in accumulators.values():
                found = state_dict.get(own.name)
                if found is None or list(found.shape) != list(own.shape):
                    got = "nothing" if found is None else f"shape {list(found.shape)}"
                    raise ValueError(f"state_dict[{own.name!r}] must have the shape {list(own.shape)}; got {got}")
        super().set_state_dict(state_dict)
        self._entries.clear()
        self._plans.clear()
        self._engines.clear()

    def use_fusion_storage(self) -> None:
        """Refused: Paddle's one buffer of all states is for its own kernels."""
        raise NotImplementedError("use_fusion_storage() is not supported; each state is a tensor of its own")

    def _named(self, params: Any) -> portable.Named:
        return portable.named(self, params)

    @paddle.no_grad()
    def _snapshot(self, names: portable.Named) -> "Snapshot":
        return portable.snapshot(self, names)

    @paddle.no_grad()
    def _restore(self, names: portable.Named, taken: "Snapshot") -> None:
        portable.restore(self, names, taken)

    def _set_hyper(self, group: Group | None, hyper: Mapping[str, float]) -> None:
        """Give a group other hyperparameters."""
        raise NotImplementedError

    def _turn_to(self, group: Group | None) -> None:
        """Let `_rule`, `_hyper` and their like speak of this group."""
        if group is not None:
            self._update_param_group({**group, "params": None})

    def _factor(self, p: Any) -> float:
        """The factor on the optimizer's learning rate that a parameter has of its own."""
        attributes = getattr(p, "optimize_attr", None)
        factor = attributes.get("learning_rate", 1.0) if attributes else 1.0
        if isinstance(factor, paddle.Tensor):
            raise TypeError(
                f"the learning rate of {p.name} must be a number, a factor on the optimizer's; got a tensor"
            )
        return factor

    def _grouped(self) -> list[tuple[Group | None, list[Any]]]:
        groups = self._param_groups
        if groups and isinstance(groups[0], dict):
            return [(group, group["params"]) for group in groups]
        return [(None, groups)]

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
        entry = self._entries.get(p.name)
        if entry is None or entry.param is not p or entry.rule is not rule or entry.shape != p.shape:
            entry = self._entries[p.name] = self._made(p, rule)
        return entry

    def _target(self, p: Any) -> Any:
        """What is updated for a parameter: itself, or its master weight in single precision."""
        if self._multi_precision and dtype_of(p) in LOW:
            return self._create_master_weight(p)
        return p


_PLAIN: tuple[float, dict[str, float]] = 1.0, {}


def _dynamic() -> None:
    if not paddle.in_dynamic_mode() or paddle.base.dygraph.base.in_to_static_mode():
        raise RuntimeError("stepwell.paddle updates tensors of dynamic graphs; call paddle.disable_static() first")


def _pairs(params: Sequence[Any]) -> list[Pair]:
    """Parameters that have gradients, each beside its own; one in single precision that AMP keeps goes first."""
    taken = [p for p in params if not p.stop_gradient]
    grads = paddle.base.core.eager.get_all_grads(taken)
    found = []
    for p, g in zip(taken, grads, strict=True):
        main = getattr(p, "main_grad", None)
        if main is not None or g is not None:
            found.append((p, g if main is None else main))
    return found
