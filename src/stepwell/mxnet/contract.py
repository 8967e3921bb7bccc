"""MXNet's contract: arguments, rates and decays of each parameter, state, and what is pickled."""

# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import Any, ClassVar

import mxnet
import numpy as np

from stepwell.domain import NonNegative, Positive, Rate, check, optional
from stepwell.host.engine import Engine
from stepwell.kernels import Stages
from stepwell.mxnet.arrays import Held, Known, wait_to_write
from stepwell.mxnet.rates import rates
from stepwell.mxnet.state import MASTER, State
from stepwell.rule import Rule

Key = tuple[int, Any]  # a device, and MXNet's index of a parameter
OWN = ("_engine", "_held", "_known")  # what is not pickled
EVERY = 1 << 62  # parameters that MXNet hands over at once, where it can


class Contract(mxnet.optimizer.Optimizer):
    """An optimizer of MXNet in all but its step.

    A subclass gives `rule_of()`. `arguments` says which attribute holds a hyperparameter (default: `wd` a decay of the
    rule's own, else one of its own name); `fixed` has those that MXNet has no argument for.
    """

    arguments: ClassVar[Mapping[str, str]] = {}
    fixed: ClassVar[Mapping[str, float]] = {}
    clips_decayed: ClassVar[bool] = False  # whether decay is added before gradients are clipped
    rows = "lazy"  # what sparse gradients mean for other rows: lazy, exact, or each at once (every)

    def __init__(self, *, learning_rate: Any = None, lr_scheduler: Any = None, **contract: Any):
        learning_rate, lr_scheduler = rates(learning_rate, lr_scheduler)
        super().__init__(learning_rate=learning_rate, lr_scheduler=lr_scheduler, **contract)
        self.aggregate_num = EVERY
        self.forget()
        self._check()

    def rule_of(self) -> Rule:
        """The rule that the options ask for."""
        raise TypeError(f"{type(self).__name__} is a base; use one of stepwell.mxnet's optimizers, or from_rule")

    def set_learning_rate(self, lr: float) -> None:
        """Change the rate; UserWarning where a scheduler has it, ValueError outside its domain."""
        super().set_learning_rate(check(Rate, "lr", lr))

    def hyperparameters(self, lr: float, wd: float) -> dict[str, float]:
        """The rule's hyperparameters, for a parameter with this rate and decay."""
        given = {"lr": lr, "wd": wd}
        places = {name: self.place(name) for name in self.rule_of().hyperparameters if name not in self.fixed}
        found = {name: given[place] if place in given else self.number(place) for name, place in places.items()}
        return {name: float(x) for name, x in {**self.fixed, **found}.items()}

    def place(self, name: str) -> str:
        """The attribute that holds a hyperparameter."""
        return self.arguments.get(name, {"weight_decay": "wd"}.get(name, name))

    def number(self, place: str) -> Any:
        """An option's value."""
        return getattr(self, place)

    def hold(self, place: str, value: float) -> None:
        """Change an option."""
        setattr(self, place, value)

    @property
    def adds_decay(self) -> bool:
        """Whether decay enters the gradient: not where the rule has one in its place."""
        return "wd" not in map(self.place, self.rule_of().hyperparameters)

    def stages(self) -> Stages:
        """What surrounds the rule in a step."""
        decay, clip = self.adds_decay and self.wd != 0, self.clip_gradient is not None
        last = clip and decay and self.clips_decayed
        return Stages(scale=True, decay=decay, clip=clip and not last, clip_decayed=last)

    def create_state(self, index: Any, weight: Any) -> State:
        """The state of a parameter under the rule's own names, as NumPy's arrays, and `step`, its updates so far."""
        return self._start(index, tuple(weight.shape), np.dtype(weight.dtype))

    def create_state_multi_precision(self, index: Any, weight: Any) -> State:
        """The same; with multi_precision, a parameter of float16 has a float32 copy in it, which is the one trained."""
        if not (self.multi_precision and weight.dtype == np.float16):
            return self.create_state(index, weight)
        copy = weight.asnumpy().astype(np.float32)
        return {**self._start(index, copy.shape, copy.dtype), MASTER: copy}

    def _start(self, index: Any, shape: tuple[int, ...], dtype: Any) -> State:
        engine = Engine(self.rule_of(), Stages())
        state = engine.start(np.empty(shape, dtype), self.hyperparameters(0.0 if self.lr is None else self.lr, self.wd))
        return state | {"step": self._index_update_count.get(index, self.begin_num_update)}

    def flush(self) -> None:
        """Let every row of every parameter see every step so far; saving and copying do so by themselves."""
        if self._engine is not None:
            wait_to_write(held.array for held in self._held.values())
            self._engine.flush()

    def _check(self) -> None:
        if self.lr_scheduler is None:
            check(Rate, "learning_rate", self.lr)
        check(NonNegative, "wd", self.wd)
        self.clip_gradient = optional(Positive, "clip_gradient", self.clip_gradient)
        for hyper in self.rule_of().hyperparameters.values():
            place = self.place(hyper.name)
            if hyper.name not in self.fixed and place not in ("lr", "wd"):
                hyper.domain.check(place, self.number(place))

    def forget(self) -> None:
        """Let go of every parameter; those whose rows are behind must have been settled."""
        self._engine: Engine | None = None
        self._held: dict[Key, Held] = {}
        self._known: dict[Key, Known] = {}

    def __getstate__(self) -> State:
        self.flush()
        return {name: x for name, x in super().__getstate__().items() if name not in OWN}

    def __setstate__(self, state: State) -> None:
        super().__setstate__(dict(state))
        self.forget()
