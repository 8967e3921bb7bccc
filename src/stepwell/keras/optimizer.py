"""What all optimizers of this door share: Keras's machinery around the step of a rule."""
# pyright: reportMissingImports=false

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from stepwell.domain import Domain
from stepwell.keras import portable
from stepwell.keras.arithmetic import BACKEND, advanced, double_precision, kept_dtype, read, step, wide
from stepwell.keras.rates import rate_of
from stepwell.kernels import Stages, cpu
from stepwell.kernels.trace import Program
from stepwell.rule import Rule

if BACKEND == "tensorflow":
    from stepwell.keras.fused import Engine  # pyright: ignore[reportAssignmentType]
elif BACKEND == "torch":
    from stepwell.keras.without_grad import Engine  # pyright: ignore[reportAssignmentType]
else:

    class Engine:  # what runs the step otherwise: Keras itself
        pass


SPARSE = Domain("'exact' or 'lazy'", lambda word: word in ("exact", "lazy"), read=lambda word: word, example="exact")


def _options() -> dict[str, Any]:
    """What Keras's own base class takes after the learning rate, with its defaults."""
    written = (inspect.signature(kind.__init__).parameters for kind in keras.optimizers.Optimizer.__mro__)
    found = next(parameters for parameters in written if "clipnorm" in parameters)
    return {n: p.default for n, p in found.items() if n not in ("self", "learning_rate") and p.kind != p.VAR_KEYWORD}


OPTIONS = _options()


def _constant(number: float) -> Callable[..., Any]:
    """An initializer; Keras's own rounds its number to single precision on TensorFlow."""

    def initializer(shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.ones(shape, dtype) * ops.convert_to_tensor(number, dtype=dtype)

    return initializer


class Common(keras.optimizers.Optimizer):
    """A rule as a `keras.optimizers.Optimizer`, on any backend.

    Weight decay (decoupled), clipping, averaging of the weights, accumulation of gradients, loss scaling, schedules and
    saving are Keras's own; the step is the rule's. As in Keras, all variables share one count of steps.

    Attributes:
        defaults: the arguments before Keras's options, with their defaults; `inspect.Parameter.empty` for none.
        arguments: by the rule's names of hyperparameters, the arguments here that are called otherwise.
        fixed: hyperparameters of the rule that are no arguments here.
        state_names: by the rule's names of state, the names here.
        together: how Keras orders the variables of state in its files: these one variable after the other.
    """

    _portable = portable  # what stepwell.checkpoint calls

    defaults: ClassVar[Mapping[str, Any]] = {}
    arguments: ClassVar[Mapping[str, str]] = {}
    fixed: ClassVar[Mapping[str, float]] = {}
    state_names: ClassVar[Mapping[str, str]] = {}
    together: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __init_subclass__(cls) -> None:
        """Write the signature, where help() and its like look."""
        kind = inspect.Parameter
        all_of_them = {**cls.defaults, **{name: value for name, value in OPTIONS.items() if name not in cls.defaults}}
        cls.__signature__ = inspect.Signature(
            [kind(name, kind.POSITIONAL_OR_KEYWORD, default=value) for name, value in all_of_them.items()]
            + [kind("sparse", kind.KEYWORD_ONLY, default="exact")]
        )

    def __init__(self, *args: Any, **kwargs: Any):
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        options = {name: given.pop(name) for name in OPTIONS if name not in self.defaults}
        options |= {name: given[name] for name in OPTIONS if name in self.defaults}
        rate = rate_of(given.pop("learning_rate", 1.0))
        super().__init__(rate if callable(rate) else lambda: rate, **options)
        if not callable(rate):
            self._learning_rate = self._rate_variable(rate)
        self._rate_given = rate
        self._settings = tuple(name for name in bound.arguments if name not in ("learning_rate", "name"))
        for name, value in given.items():
            setattr(self, name, value)
        SPARSE.check("sparse", self.sparse)
        if self.sparse == "lazy" and self.gradient_accumulation_steps:
            raise ValueError("sparse='lazy' does not go with gradient_accumulation_steps: sums of gradients are dense")
        self._hyperparameters()

    def _rate_variable(self, rate: float) -> Any:
        """A number that may be set, in double precision: Keras would keep it in its default dtype."""
        with keras.name_scope(self.name, caller=self):
            return keras.Variable(
                rate, name="learning_rate", dtype=kept_dtype(), trainable=False, aggregation="only_first_replica"
            )

    def rule_of(self) -> Rule:
        """The rule that the arguments choose."""
        raise NotImplementedError

    def _hyperparameters(self) -> dict[str, float]:
        """All but the learning rate under the rule's names, each in its domain."""
        found = dict(self.fixed)
        for name, hyper in self.rule_of().hyperparameters.items():
            if name not in found and name != "lr":
                argument = self.arguments.get(name, name)
                found[name] = hyper.domain.check(argument, getattr(self, argument))
        return found

    @property
    def _program(self) -> Program:
        return cpu.program(self.rule_of(), Stages())

    def build(self, variables: list[Any]) -> None:
        """Make the state of these variables."""
        if self.built:
            return
        super().build(variables)
        rule, program, hyper = self.rule_of(), self._program, self._hyperparameters()
        arrays = [s for s in rule.state if s not in program.scalar_state]
        groups = [[s for s in group if s in arrays] for group in self.together]
        groups = [*groups, [s for s in arrays if not any(s in group for group in groups)]]
        self._state: dict[str, list[Any]] = {}
        for group in groups:
            made = [[self._state_beside(v, s, rule, program, hyper) for s in group] for v in variables]
            self._state |= {s: [each[k] for each in made] for k, s in enumerate(group)}
        self._numbers = {s: self._number(s, rule.start_of(s, hyper)) for s in program.scalar_state}

    def _state_beside(self, variable: Any, name: str, rule: Rule, program: Program, hyper: dict[str, float]) -> Any:
        if self._overwrite_variable_with_gradient(variable):
            return None
        start = _constant(rule.start_of(name, hyper))
        called = self.state_names.get(name, name)
        shape = tuple(variable.shape)
        if (rows := program.shape_of(name, shape)) == shape:
            return self.add_variable_from_reference(variable, called, start)
        path = getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
        return self.add_variable(rows, start, variable.dtype, name=f"{path}_{called}")

    def _number(self, name: str, start: float) -> Any:
        called = self.state_names.get(name, name)
        return self.add_variable((), _constant(start), kept_dtype(), "only_first_replica", name=called)

    def _scalars(self, learning_rate: Any) -> dict[str, Any]:
        with double_precision():
            numbers = {name: wide(value) for name, value in self._numbers.items()}
            return {**self._hyperparameters(), **numbers, "lr": wide(learning_rate), "t": wide(self.iterations) + 1}

    def _scalars_for(self, variable: Any, learning_rate: Any) -> dict[str, Any]:
        scalars = self._scalars(learning_rate)
        if self._decays_itself and not self._use_weight_decay(variable):
            scalars["weight_decay"] = 0.0
        return scalars

    def _state_of(self, variable: Any) -> dict[str, Any]:
        index = self._get_variable_index(variable)
        return {name: variables[index] for name, variables in self._state.items()}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Make one step of one variable."""
        state = self._state_of(variable)
        arrays = {name: read(x) for name, x in state.items()}
        scalars = self._scalars_for(variable, learning_rate)
        p, new = step(self._program, read(variable), gradient, arrays, scalars)
        self.assign(variable, p)
        for name, value in new.items():
            self.assign(state[name], value)

    def _backend_apply_gradients(self, grads: Any, trainable_variables: Any) -> None:
        self._hyperparameters()  # in their domains, before anything changes
        rule = self.rule_of()
        if missing := [name for name in rule.state if name not in self._state | self._numbers]:
            raise ValueError(
                f"{type(self).__name__} was built without the state {', '.join(missing)}, which {rule.name} keeps: the "
                "arguments that choose it were set too late; make a new optimizer"
            )
        super()._backend_apply_gradients(grads, trainable_variables)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        super()._backend_update_step(grads, trainable_variables, learning_rate)
        if self._numbers:
            for name, value in advanced(self._program, self._scalars(learning_rate)).items():
                self.assign(self._numbers[name], value)

    @property
    def _decays_itself(self) -> bool:
        """Whether weight decay is an argument of the rule rather than of Keras."""
        return "weight_decay" in self.rule_of().hyperparameters and "weight_decay" not in self.fixed

    def _apply_weight_decay(self, variables: Any) -> None:
        if not self._decays_itself:
            super()._apply_weight_decay(variables)

    @property
    def learning_rate(self) -> Any:
        """The rate of the coming step; it may be set to a number, and to a schedule."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        given = value if ops.is_tensor(value) else rate_of(value)
        keras.optimizers.Optimizer.learning_rate.fset(self, given)
        self._rate_given = given

    def _rate_as_number(self) -> dict[str, float]:
        """The rule's `lr`, if it has one and no schedule gives it: as it was given, where the variable rounds it."""
        if callable(self._learning_rate) or "lr" not in self.rule_of().hyperparameters:
            return {}
        kept = float(ops.convert_to_numpy(self._learning_rate.value))
        given = self._rate_given
        return {"lr": given if isinstance(given, float) and np.float32(given) == np.float32(kept) else kept}

    def get_config(self) -> dict[str, Any]:
        """The arguments, as `from_config` and Keras's files take them."""
        config = super().get_config()
        if "learning_rate" not in self.defaults:
            del config["learning_rate"]
        if number := self._rate_as_number():
            config["learning_rate"] = number["lr"]
        return config | {name: getattr(self, name) for name in self._settings}


class Optimizer(Engine, Common):
    """A rule as a `keras.optimizers.Optimizer`: what this door's classes have in common."""
