"""How each door trains under a rule: all that a test of a rule has to know of a framework."""
# pyright: reportMissingImports=false

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from stepwell.rule import Rule
from stepwell.testing.training import NAME, Training, run
from stepwell.testing.trial import Arrays, Trial

DOORS: dict[str, type[Training]] = {}


def door(name: str) -> Callable[[type[Training]], type[Training]]:
    """Keep a class as the way to train at the door of this name."""

    def keep(training: type[Training]) -> type[Training]:
        DOORS[name] = training
        return training

    return keep


def begin(name: str, rule: Rule, hyper: Mapping[str, Any], p: np.ndarray) -> Training:
    """A training of one parameter at a door."""
    return DOORS[name](rule, hyper, {NAME: p})


def at(name: str) -> Callable[[Trial], Iterator[Arrays]]:
    """A door as an engine."""
    return lambda trial: run(begin(name, trial.rule, trial.hyper, trial.start), trial.gradients)


@door("numpy")
class AtNumpy(Training):
    """Arrays, updated in place."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.numpy import from_rule

        self.optimizer = from_rule(rule)({name: np.array(x) for name, x in arrays.items()}, **hyper)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        self.optimizer.step(gradients)

    def arrays(self) -> Arrays:
        return {name: np.array(x) for name, x in self.optimizer.params.items()}

    def saved(self) -> Any:
        return self.optimizer.state_dict()

    def restore(self, saved: Any) -> None:
        self.optimizer.load_state_dict(saved)


@door("torch")
class AtTorch(Training):
    """Parameters, each with its gradient."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.torch import from_rule  # before torch: it says what to install

        import torch  # isort: skip

        self.params = {name: torch.nn.Parameter(torch.from_numpy(np.array(x))) for name, x in arrays.items()}
        self.optimizer = from_rule(rule)(list(self.params.values()), **hyper)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import torch

        for name, g in gradients.items():
            self.params[name].grad = None if g is None else torch.from_numpy(np.array(g))
        self.optimizer.step()

    def arrays(self) -> Arrays:
        return {name: p.detach().numpy().copy() for name, p in self.params.items()}

    def saved(self) -> Any:
        return self.optimizer.state_dict()

    def restore(self, saved: Any) -> None:
        self.optimizer.load_state_dict(saved)


@door("jax")
class AtJax(Training):
    """A tree of arrays; every step is compiled. Where no parameter has a gradient, there is no step."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.jax import from_rule

        import jax  # isort: skip
        import optax

        self.wide = any(x.dtype == np.float64 for x in arrays.values())
        made = from_rule(rule)(**hyper)

        def step(params: Any, state: Any, gradients: Any) -> Any:
            updates, state = made.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        self.compiled = jax.jit(step)
        with jax.enable_x64(self.wide):
            self.params = {name: jax.numpy.asarray(x) for name, x in arrays.items()}
            self.optimizer = made.init(self.params)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import jax

        if any(g is not None for g in gradients.values()):
            with jax.enable_x64(self.wide):
                self.params, self.optimizer = self.compiled(self.params, self.optimizer, dict(gradients))

    def arrays(self) -> Arrays:
        return {name: np.array(x) for name, x in self.params.items()}

    def saved(self) -> Any:
        import jax

        return jax.tree.map(np.array, self.optimizer)

    def restore(self, saved: Any) -> None:
        import jax

        with jax.enable_x64(self.wide):
            self.optimizer = jax.tree.map(jax.numpy.asarray, saved)

    def load(self, path: Any, names: Any = None) -> None:
        import jax

        from stepwell import checkpoint

        with jax.enable_x64(self.wide):
            self.params, self.optimizer, _ = checkpoint.load(path, self.optimizer, self.params, names=names)


@door("keras")
class AtKeras(Training):
    """Variables of Keras, on its backend. Where no variable has a gradient, there is no step."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.keras import from_rule

        import keras  # isort: skip

        self.wide = any(x.dtype == np.float64 for x in arrays.values())
        with self._precision():
            self.params = {
                name: keras.Variable(np.array(x), dtype=x.dtype.name, name=name.replace("/", "."))
                for name, x in arrays.items()
            }
            called = {"lr": "learning_rate"}
            self.optimizer = from_rule(rule)(**{called.get(name, name): x for name, x in hyper.items()})
            self.optimizer.build(list(self.params.values()))

    @classmethod
    def label(cls) -> str:
        import keras

        return keras.config.backend()

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        """Double precision, for which JAX must be asked; and Keras's warning of its own variables is left out."""
        import keras

        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            if keras.config.backend() == "jax":
                import jax

                stack.enter_context(jax.enable_x64(self.wide))
            yield

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import keras

        with self._precision():
            there = {name: keras.ops.convert_to_tensor(g) for name, g in gradients.items() if g is not None}
            if there:
                self.optimizer.apply(list(there.values()), [self.params[name] for name in there])

    def arrays(self) -> Arrays:
        with self._precision():
            return {name: _of_keras(p) for name, p in self.params.items()}

    def saved(self) -> Any:
        store: dict[str, Any] = {}
        with self._precision():
            self.optimizer.save_own_variables(store)
            return {key: _of_keras(x) for key, x in store.items()}

    def restore(self, saved: Any) -> None:
        with self._precision():
            self.optimizer.load_own_variables(saved)

    def save(self, path: Any, names: Any = None) -> None:
        with self._precision():
            super().save(path, names)

    def load(self, path: Any, names: Any = None) -> None:
        with self._precision():
            super().load(path, names)


def _of_keras(variable: Any) -> np.ndarray:
    import keras

    return np.array(keras.ops.convert_to_numpy(variable))


@door("paddle")
class AtPaddle(Training):
    """Parameters, each with its gradient."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it wants a ccache
            from stepwell.paddle import from_rule

            import paddle  # isort: skip

        unique = paddle.utils.unique_name  # names begin anew, as in a new process: saved state is found by them
        self.names, _ = unique.switch(*unique.switch())
        self.params = {}
        with unique.guard(self.names):
            for name, x in arrays.items():
                self.params[name] = paddle.create_parameter(list(x.shape), x.dtype.name)
                self.params[name].set_value(np.array(x))
        given = {name: x for name, x in hyper.items() if name != "lr"}
        rate = {"learning_rate": hyper["lr"]} if "lr" in hyper else {}
        self.optimizer = from_rule(rule)(**rate, parameters=list(self.params.values()), **given)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        import paddle

        for name, g in gradients.items():
            self.params[name].clear_gradient(False)
            if g is not None:
                self.params[name].grad = paddle.to_tensor(np.array(g))
        with paddle.utils.unique_name.guard(self.names):
            self.optimizer.step()

    def arrays(self) -> Arrays:
        return {name: np.array(p.numpy()) for name, p in self.params.items()}

    def saved(self) -> Any:
        return copy.deepcopy(self.optimizer.state_dict())

    def restore(self, saved: Any) -> None:
        import paddle

        with paddle.utils.unique_name.guard(self.names):
            self.optimizer.set_state_dict(saved)


@door("mxnet")
class AtMxnet(Training):
    """Parameters of Gluon, and their trainer."""

    def __init__(self, rule: Rule, hyper: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        from stepwell.mxnet import from_rule

        from mxnet import gluon, nd  # isort: skip

        self.params = {}
        for name, x in arrays.items():
            self.params[name] = gluon.Parameter(name, shape=x.shape, dtype=x.dtype)
            self.params[name].initialize()
            self.params[name].set_data(nd.array(x, dtype=x.dtype))
        self.optimizer = from_rule(rule)(**hyper)
        self.trainer = gluon.Trainer(self.params, self.optimizer)

    def step(self, gradients: Mapping[str, np.ndarray | None]) -> None:
        from mxnet import nd

        for name, g in gradients.items():
            if g is not None:
                self.params[name].grad()[:] = nd.array(g, dtype=g.dtype)
            self.params[name].data()._fresh_grad = g is not None  # as a backward pass says that it was there
        self.trainer.step(1, ignore_stale_grad=True)

    def arrays(self) -> Arrays:
        return {name: p.data().asnumpy() for name, p in self.params.items()}

    def saved(self) -> Any:
        return self.trainer._updaters[0].get_states(dump_optimizer=False)

    def restore(self, saved: Any) -> None:
        self.trainer._updaters[0].set_states(saved)
