"""Parameters of which this process holds a share: torch's DTensor.

A kernel, and all of a plan, works on a stand-in: a plain tensor over the share's own memory, with the share of the
gradient as its `.grad` for the length of a step. State stays a DTensor in `optimizer.state`, as torch's tools for
checkpoints want it; a plan takes its shares too.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from stepwell.kernels.trace import Program
from stepwell.torch import watched
from stepwell.torch.agreement import Agreement

DEPTH = 16  # of calls between torch's tools and a step: hooks, schedulers and profilers put theirs between


def is_sharded(x: Any) -> bool:
    """Whether a tensor is a DTensor; nobody has one who has not loaded the module of that class."""
    return isinstance(x, getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", ()))


def share_of(x: Any) -> Any:
    """The part of a DTensor that this process holds; of what is whole, itself."""
    return settled(x._local_tensor) if is_sharded(x) else x


def shares_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A parameter's state, of each DTensor the share."""
    return {name: share_of(x) for name, x in state.items()}


def gradient_of_share(p: Any, g: Tensor) -> Tensor:
    """What `p.grad` takes for a DTensor `p` whose share of the gradient on this process is `g`, dense or sparse.

    Autograd makes no sparse gradient of a DTensor. Whoever looks rows of one up in its share hands theirs over so.

    Raises:
        TypeError: `p` is no DTensor.
        ValueError: `g` has another shape than the share of `p`.
    """
    from torch.distributed.tensor import DTensor

    if not is_sharded(p):
        raise TypeError(f"p must be a DTensor; got {said(p)}")
    if g.shape != p._local_tensor.shape:
        raise ValueError(f"g must have the share's shape, {tuple(p._local_tensor.shape)}; got {tuple(g.shape)}")
    return DTensor(g, p._spec, requires_grad=False)  # pyright: ignore[reportCallIssue]


def settled(local: Any) -> Tensor:
    """A share whose communication has ended."""
    return local.wait() if hasattr(local, "trigger_wait") else local


def said(x: Any) -> str:
    """How a tensor lies on its processes, for an error."""
    if not is_sharded(x):
        return "a plain tensor"
    return f"a DTensor with placements {x.placements} on {x.device_mesh.size()} processes"


def splits_rows(p: Any) -> bool:
    """Whether a row of a parameter, which lies along its last axis, is spread over several processes."""
    if not is_sharded(p):
        return False
    lengths = zip(p.placements, p.device_mesh.shape, strict=True)
    return any(n > 1 and not x.is_replicate() and x.dim % p.dim() == p.dim() - 1 for x, n in lengths)


def room(p: Any, program: Program, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An unfilled state of a DTensor with one number a row, placed as the parameter is."""
    from torch.distributed.tensor import DTensor

    local = p._local_tensor
    own = local.new_empty(program.shape_of(name, local.shape), dtype=dtype)
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(own, p.device_mesh, p.placements, run_check=False, shape=torch.Size(shape), stride=stride)


def refuse_placement(what: str, value: Any, p: Any) -> None:
    """Refuse a state that does not lie on the processes as its parameter does."""
    alike = is_sharded(value) == is_sharded(p)
    if alike and is_sharded(p):
        alike = value.device_mesh == p.device_mesh and value.placements == p.placements
    if not alike:
        raise ValueError(
            f"{what} is {said(value)}; its parameter is {said(p)}. torch.distributed.checkpoint, with "
            "get_state_dict and set_state_dict, carries state from one number of processes to another"
        )


def only_state_is_wanted() -> bool:
    """Whether torch's tools for checkpoints ask for a first step so that there is state to load into.

    They give zero gradients and rates of 0, which a schedule would overrule, and a step would be counted.
    """
    frame = sys._getframe(1)
    for _ in range(DEPTH):
        frame = None if frame is None else frame.f_back
        if frame is not None and frame.f_code.co_name == "_init_optim_state":
            return frame.f_globals.get("__name__") == "torch.distributed.checkpoint.state_dict"
    return False


class Shares:
    """The parameters of an optimizer, a stand-in in the place of each that is a DTensor.

    Attributes:
        lists: for each group, the parameters.
        params: for each group, what kernels work on: the parameters, or their stand-ins.
        moved: gradients that lay otherwise than their parameters, of which the stand-ins have copies.
        slots: for each stand-in, the sum that the squares of its gradient belong to.
        agreement: what the processes settle; None where nothing is sharded.
    """

    def __init__(self, groups: Sequence[dict[str, Any]]):
        for group in groups:
            if type(group["params"]) is not watched.Parameters:
                group["params"] = watched.Parameters(group["params"])
        self.lists = [group["params"] for group in groups]
        self.sharded: list[tuple[Any, Tensor, int, Tensor]] = []  # with its share, where that lies, and its stand-in
        self.params = [[self._part(p) for p in params] for params in self.lists]
        self.moved: list[Tensor] = []
        self.agreement = Agreement(p for p, *_ in self.sharded) if self.sharded else None
        self.slots = {} if self.agreement is None else {x: self.agreement.slot(p) for p, _, _, x in self.sharded}

    def _part(self, p: Any) -> Tensor:
        if not is_sharded(p):
            return p
        if any(placement.is_partial() for placement in p.placements):
            raise ValueError(
                f"a parameter of shape {tuple(p.shape)} is {said(p)}: what is to be added up cannot be updated"
            )
        local = p._local_tensor
        stand_in = local.detach()
        self.sharded.append((p, local, local.data_ptr(), stand_in))
        return stand_in

    def pairs(self) -> list[list[tuple[Tensor, Tensor]]]:
        """For each group, what kernels work on, each with the parameter that it stands for."""
        return [list(zip(*both, strict=True)) for both in zip(self.params, self.lists, strict=True)]

    def are_those_of(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the groups have the same lists still, and the shares lie where they did."""
        same = len(groups) == len(self.lists) and all(g["params"] is x for g, x in zip(groups, self.lists, strict=True))
        return same and all(p._local_tensor is local and local.data_ptr() == at for p, local, at, _ in self.sharded)

    def take_gradients(self) -> None:
        """Let the stand-ins have the gradients as they are now; one that lies otherwise is moved, which all must do.

        Raises:
            TypeError, ValueError: a gradient that is no share of what the parameter is a share of. The others have
                been moved nonetheless, as other processes may wait for that.
        """
        self.moved, wrong = [], None
        for p, _, _, stand_in in self.sharded:
            g = p.grad
            if g is None:
                stand_in.grad = None
                continue
            try:
                local = g._local_tensor if getattr(g, "_spec", None) is p._spec else self._moved(p, g)
            except (TypeError, ValueError) as error:
                wrong = wrong or error
                continue
            try:
                stand_in.grad = local if type(local) is Tensor else settled(local)
            except RuntimeError as error:  # torch's own, of shapes, dtypes and devices
                wrong = wrong or ValueError(f"a gradient's share does not fit that of its parameter: {error}")
        if wrong is not None:
            raise wrong

    def _moved(self, p: Any, g: Any) -> Any:
        """The share of a gradient that may lie on the processes otherwise than its parameter."""
        if not is_sharded(g):
            raise TypeError(f"a gradient of shape {tuple(g.shape)} is a plain tensor; its parameter is {said(p)}")
        if g.device_mesh != p.device_mesh:
            raise ValueError(f"a gradient is {said(g)}; its parameter is {said(p)}, and on others")
        if g.placements != p.placements:
            self.moved.append(g)
            with torch.no_grad():
                g = g.redistribute(p.device_mesh, p.placements)
        return g._local_tensor

    def let_go(self) -> None:
        """Hold no gradient."""
        for *_, stand_in in self.sharded:
            stand_in.grad = None

    def count_change(self) -> None:
        """Tell autograd that the parameters with a gradient change; it looks at the DTensor, kernels at the share."""
        if self.sharded:
            torch._C._increment_version([p for p, _, _, stand_in in self.sharded if stand_in.grad is not None])
