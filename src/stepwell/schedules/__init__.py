"""The learning rate as a pure function of the step.

>>> from stepwell import schedules
>>> rate = 1e-3 * schedules.warmup(500).then(schedules.cosine(10_000))
>>> rate(500)
0.001

A schedule counts updates, from 0; `per_epoch` makes it count epochs. Its rate is 1 unless said, so that a number times
a schedule is a schedule that reaches that number. Every optimizer of this library takes a schedule as `lr`; `as_torch`
makes it drive one of PyTorch's.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stepwell.schedules.anneal import cosine as cosine
from stepwell.schedules.anneal import cosine_restarts as cosine_restarts
from stepwell.schedules.anneal import linear as linear
from stepwell.schedules.anneal import one_cycle as one_cycle
from stepwell.schedules.anneal import polynomial_decay as polynomial_decay
from stepwell.schedules.anneal import warmup as warmup
from stepwell.schedules.anneal import warmup_stable_decay as warmup_stable_decay
from stepwell.schedules.base import Schedule as Schedule
from stepwell.schedules.base import rate_at as rate_at
from stepwell.schedules.decay import constant as constant
from stepwell.schedules.decay import exponential as exponential
from stepwell.schedules.decay import factor as factor
from stepwell.schedules.decay import inverse_sqrt as inverse_sqrt
from stepwell.schedules.decay import multi_factor as multi_factor
from stepwell.schedules.decay import piecewise_constant as piecewise_constant
from stepwell.schedules.decay import polynomial as polynomial
from stepwell.schedules.domains import domains_of
from stepwell.schedules.plateau import reduce_on_plateau as reduce_on_plateau

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler


def named() -> dict[str, Callable[..., Schedule]]:
    """Each pure schedule's constructor by its name.

    >>> from stepwell import schedules
    >>> schedules.named()["linear"](4)
    linear(steps=4, rate=1.0, end=0.0)
    """
    return {name: maker for name, maker in globals().items() if _makes_schedules(maker)}


def _makes_schedules(maker: Any) -> bool:
    made = maker if isinstance(maker, type) else getattr(maker, "__annotations__", {}).get("return")
    return isinstance(made, type) and issubclass(made, Schedule) and maker is not Schedule and maker is not example


def example(name: str, **arguments: Any) -> Schedule:
    """The schedule of that name with these arguments, and with an example's for the others that have no default.

    Errors: ValueError for an unknown name; those of the constructor.

    >>> from stepwell import schedules
    >>> schedules.example("cosine", rate=0.1)
    cosine(steps=100, rate=0.1, end=0.0)
    """
    makers = named()
    if name not in makers:
        raise ValueError(f"name must be one of {', '.join(makers)}; got {name!r}")
    maker = makers[name]
    required = {n for n, p in inspect.signature(maker).parameters.items() if p.default is p.empty}
    examples = {n: domain.example for n, domain in domains_of(maker).items() if n in required}
    return maker(**examples | arguments)


def as_torch(
    optimizer: "torch.optim.Optimizer", schedule: Callable[[int], Any] | Sequence[Callable[[int], Any]]
) -> "LRScheduler":
    """A torch learning-rate scheduler that sets the rate of `optimizer`'s groups to the value of `schedule`.

    The value is the rate itself, whatever `lr` the optimizer was made with: the first update uses `schedule(0)`, and
    after the k-th call of the scheduler's `step` the rate is `schedule(k)`. A list of schedules has one for each
    parameter group. Its `state_dict` holds plain numbers alone, so `torch.load(weights_only=True)` reads it; loading
    it into a scheduler made with the same schedule goes on where the saved one stood and sets the optimizer's rates.

    Errors: ImportError without PyTorch; TypeError if `optimizer` is not one of torch; ValueError if the number of
    schedules is not the number of groups, or if a rate is negative or not finite.

    >>> import torch
    >>> from stepwell import schedules
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=123.0)
    >>> scheduler = schedules.as_torch(optimizer, 0.1 * schedules.linear(4))
    >>> for _ in range(4):
    ...     print(optimizer.param_groups[0]["lr"])
    ...     optimizer.step()
    ...     scheduler.step()
    0.1
    0.07500000000000001
    0.05
    0.025
    """
    try:
        from stepwell.schedules.torch_scheduler import ScheduleLR
    except ImportError as error:
        raise ImportError("as_torch needs PyTorch: pip install torch") from error
    return ScheduleLR(optimizer, schedule)
