"""A stacked training step as a list of torch operations: what vmap and autograd decide at each step, decided once.

A step of a small model is mostly decisions: each operation of the model passes through vmap's rules and autograd's, and
again on the way back. Traced once, the same operations run in the same order without them: the numbers are the same to
the last bit. What a trace cannot see is Python's own state, so only what has none is traced (see `training.fixed`), and
a trace is used only after its numbers, its buffers and its draws have equalled those of the untraced step.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stepwell.lab.batches import leaves, mapped
from stepwell.lab.randomness import preserved

if TYPE_CHECKING:
    from torch import Tensor

Step = Callable[[dict[str, Any], dict[str, Any], Any], tuple["Tensor", tuple["Tensor | None", ...]]]
SEEN = 4  # steps on batches of one form before it may be traced
SAVES = 0.25  # of a step's time, about what a trace saves of a small model's


class Traced:
    """A function (parameters, buffers, batch) → (losses, gradients), traced for batches of the forms that return.

    A trace is made where it will save more time than it takes.

    Args:
        step: the function; it changes the buffers in place.
        fixed: whether it does the same at every step, but for what it is given and torch's generators.
    """

    takes = 0.05  # seconds of a trace: a guess, then what the last took, but doubled at most: a first one also imports

    def __init__(self, step: Step, fixed: bool):
        self.step, self.fixed = step, fixed
        self.times: dict[Any, list[float]] = {}
        self.graphs: dict[Any, Step | None] = {}

    def __call__(self, parameters: dict[str, Any], buffers: dict[str, Any], batch: Any, left: int) -> Any:
        """The losses and gradients; `left` is how many steps are still to come."""
        if not self.fixed:
            return self.step(parameters, buffers, batch)
        form = tuple((x.shape, x.dtype, x.stride()) for x in leaves(batch))
        if form not in self.graphs and self._pays(form, left):
            began = time.perf_counter()
            self.graphs[form] = self._trace(parameters, buffers, batch)
            Traced.takes = min(time.perf_counter() - began, 2 * Traced.takes)
        if graph := self.graphs.get(form):
            return graph(parameters, buffers, batch)
        began = time.perf_counter()
        found = self.step(parameters, buffers, batch)
        self.times.setdefault(form, []).append(time.perf_counter() - began)
        return found

    def _pays(self, form: Any, left: int) -> bool:
        times = self.times.get(form, [])
        if len(times) < SEEN:
            return False
        share = len(times) / sum(map(len, self.times.values()))
        return SAVES * share * left * min(times) > self.takes

    def forget(self) -> None:
        """The stack has another size now."""
        self.graphs, self.times = {}, {}

    def _trace(self, parameters: dict[str, Any], buffers: dict[str, Any], batch: Any) -> Step | None:
        """The step as a graph, or None where it is not the same."""
        import torch
        from torch.fx.experimental.proxy_tensor import make_fx

        def flat(ps: list[Any], bs: list[Any], xs: list[Any]) -> Any:
            places = iter(xs)
            filled = mapped(lambda _: next(places), batch)
            return self.step(dict(zip(parameters, ps, strict=True)), dict(zip(buffers, bs, strict=True)), filled)

        def copies(tensors: dict[str, Any]) -> list[Any]:
            return [x.detach().clone().requires_grad_(x.requires_grad) for x in tensors.values()]

        try:
            with preserved():
                graph = make_fx(flat)(copies(parameters), copies(buffers), leaves(batch))

            def run(ps: dict[str, Any], bs: dict[str, Any], xs: Any) -> Any:
                with torch.no_grad():
                    return graph(list(ps.values()), list(bs.values()), leaves(xs))

            same = _outcome(self.step, parameters, buffers, batch) == _outcome(run, parameters, buffers, batch)
        except Exception:  # whatever a trace cannot do, the step itself can
            return None
        return run if same else None


class _Outcome:
    """All that a step leaves behind, to compare."""

    def __init__(self, tensors: list[Any]):
        self.tensors = tensors

    def __eq__(self, other: object) -> bool:
        import torch

        assert isinstance(other, _Outcome)
        pairs = zip(self.tensors, other.tensors, strict=True)
        return all((a is None) == (b is None) and (a is None or torch.equal(_bits(a), _bits(b))) for a, b in pairs)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _bits(x: "Tensor") -> "Tensor":
    return x.detach().nan_to_num(nan=0.12345)


def _outcome(step: Step, parameters: dict[str, Any], buffers: dict[str, Any], batch: Any) -> _Outcome:
    import torch

    own = {name: b.clone() for name, b in buffers.items()}
    with preserved():
        losses, gradients = step(parameters, own, batch)
        return _Outcome([losses, *gradients, *own.values(), torch.get_rng_state()])
