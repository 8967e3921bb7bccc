"""The table of frameworks: what it says of PyTorch and optax is asked of the packages, argument by argument and step by
step; what it says of the others can at least be said by our rules."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from stepwell.book import frameworks
from stepwell.book.frameworks import BESIDE, UNDER, VERSIONS, Version
from stepwell.rules import algorithms, named
from tests.doors.versions import GRADIENTS, RATE, START, ours

ALL = [version for versions in VERSIONS.values() for version in versions]
CHECKED = [version for version in ALL if version.framework in ("PyTorch", "optax")]  # the others: tests/doors


def optax() -> Any:
    return pytest.importorskip("optax")


def original(version: Version) -> Callable[..., Any]:
    package: Any = torch.optim if version.framework == "PyTorch" else optax()
    return getattr(package, version.name.rpartition(".")[2])


def in_torch(make: Callable[..., Any], gradients: list[np.ndarray], **options: Any) -> Iterator[np.ndarray]:
    p = torch.nn.Parameter(torch.tensor(START))
    optimizer = make([p], **options)
    for g in gradients:
        p.grad = torch.tensor(g)
        torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
        try:
            optimizer.step()
        finally:
            torch.set_default_dtype(torch.float32)
        yield p.detach().numpy().copy()


def in_optax(make: Callable[..., Any], gradients: list[np.ndarray], **options: Any) -> Iterator[np.ndarray]:
    import jax.numpy as jnp

    p = jnp.asarray(START)
    transformation = make(**options)
    state = transformation.init(p)
    for g in gradients:
        updates, state = transformation.update(jnp.asarray(g), state, p)
        p = optax().apply_updates(p, updates)
        yield np.asarray(p)


def theirs(version: Version, gradients: list[np.ndarray], **options: Any) -> np.ndarray:
    """The parameter after each of the framework's own steps."""
    make = original(version)
    if version.framework == "optax":
        import jax

        options.setdefault("learning_rate", RATE)
        with jax.enable_x64(True):
            return np.array(list(in_optax(make, gradients, **options)))
    return np.array(list(in_torch(make, gradients, **{"lr": RATE, **options})))


@pytest.mark.parametrize("version", CHECKED, ids=lambda v: v.name)
def test_defaults_are_those_of_the_package(version: Version) -> None:
    known = {key: p.default for key, p in inspect.signature(original(version)).parameters.items()}
    expected = {key: inspect.Parameter.empty if value is None else value for key, value in version.defaults.items()}
    if version.name in ("optax.sgd", "optax.adadelta"):  # None is their default, and not for want of one
        expected |= {key: None for key in ("momentum", "learning_rate") if f"{key}=None" in version.call}
    assert expected == {key: known[key] for key in expected}


@pytest.mark.parametrize("version", CHECKED, ids=lambda v: v.name)
def test_a_version_takes_the_steps_of_its_rule(version: Version) -> None:
    momentum = version.rule == "momentum"
    path = theirs(version, GRADIENTS, **{"momentum": 0.9} if momentum else {})
    own = ours(version.rule, GRADIENTS, **version.settings | {"lr": RATE} | ({"beta": 0.9} if momentum else {}))
    same = np.allclose(path, own, rtol=1e-10, atol=1e-12)
    assert same is version.exact


@pytest.mark.parametrize("version", [v for v in CHECKED if v.epsilon in (UNDER, BESIDE)], ids=lambda v: v.name)
def test_epsilon_stands_where_it_is_said_to(version: Version) -> None:
    """At a tiny gradient the first step is about g/√ε with ε under the root, and g/ε with it beside."""
    small, eps = 1e-12, 1e-6
    zero = {key: 0.0 for key in ("initial_accumulator_value", "weight_decay") if key in version.defaults}
    step = abs(theirs(version, [np.full(3, small)], eps=eps, **zero)[0] - START)[0]
    names = {"rmsprop": 1.0, "adagrad": 1.0, "adadelta": np.sqrt(eps)}  # Adadelta multiplies by √(Δ + ε), Δ being 0
    if version.rule.removesuffix("_eps_inside") in names:
        factor = names[version.rule.removesuffix("_eps_inside")]
        expected = RATE * factor * small / (np.sqrt(eps) if version.epsilon == UNDER else eps)
    else:
        assert version.epsilon == BESIDE  # the kin of Adam; the moments' bias leaves the order of g/ε
        expected = RATE * small / eps
    slack = {"yogi": 1e6}.get(version.rule, 3.0)  # optax's Yogi starts its mean at 1e-6, a million times this gradient
    assert expected / slack < step < expected * slack


def test_optax_adadelta_climbs_when_it_is_given_no_rate() -> None:
    (version,) = [v for v in CHECKED if v.name == "optax.adadelta"]
    assert "climb" in version.remark
    steps = theirs(version, GRADIENTS[:1], learning_rate=None)[0] - START
    assert np.array_equal(np.sign(steps), np.sign(GRADIENTS[0]))


def test_optax_yogi_starts_both_means_at_the_accumulator() -> None:
    state = optax().yogi(RATE).init(np.zeros(2))[0]
    assert np.allclose([state.mu, state.nu], 1e-6, rtol=1e-5)


def test_what_remarks_say_of_options_is_so() -> None:
    by_name = {version.name: version for version in ALL}
    beside = theirs(by_name["optax.rmsprop"], GRADIENTS, eps_in_sqrt=False)
    assert np.allclose(beside, ours("rmsprop", GRADIENTS, lr=RATE, gamma=0.9), rtol=1e-10)
    decayed = theirs(by_name["torch.optim.Adagrad"], GRADIENTS, lr_decay=0.5)
    assert np.allclose(decayed, ours("adagrad_decayed", GRADIENTS, lr=RATE, lr_decay=0.5), rtol=1e-10)
    dampened = theirs(by_name["torch.optim.SGD"], GRADIENTS, momentum=0.9, dampening=0.5)
    assert np.allclose(dampened, ours("momentum_dampened", GRADIENTS, lr=RATE, beta=0.9, dampening=0.5), rtol=1e-10)


def test_what_a_framework_lacks_it_lacks() -> None:
    lacking = {(rule, framework) for rule in named for framework in frameworks.missing(rule)}
    assert {("yogi", "PyTorch"), ("lion", "PyTorch"), ("lion", "Paddle"), ("yogi", "Keras")} <= lacking
    assert not [name for name in ("Yogi", "Lion") if hasattr(torch.optim, name)]
    assert not [rule for rule, framework in lacking if framework == "optax"]


@pytest.mark.parametrize("version", ALL, ids=lambda v: f"{v.framework}-{v.name}")
def test_every_version_can_be_said_by_a_rule(version: Version) -> None:
    complete = named[version.rule].complete(version.settings)
    assert {"gamma", "rho", "eps", "beta1"} & set(complete) <= set(version.settings) | {"beta1"}
    assert version.exact or version.remark
    assert re.fullmatch(r"https://[\w./#-]+", version.source)


def test_every_rule_belongs_to_the_algorithm_of_its_versions() -> None:
    for name, versions in VERSIONS.items():
        assert {frameworks.algorithm(version.rule) for version in versions} == {name}
    without = {rule for rule in named if not frameworks.of(rule)}
    assert {"radam", "radamw"} == {rule for rule in without if rule in algorithms}
    assert all(rule.startswith("radam") for rule in without)


def test_the_table_shows_every_version_and_where_it_is_known_from() -> None:
    table = frameworks.table(VERSIONS["nadam"])
    assert [row[0] for row in table.rows] == ["PyTorch", "optax", "Keras", "Paddle", "MXNet"]
    assert "`momentum_decay=1`" in table.rows[2][3]
    assert table.rows[0][-1].startswith("[tests against the package](https://docs.pytorch.org/")
    assert table.rows[2][-1].startswith("[tests against the package](https://www.tensorflow.org/")
    assert "not quite" in table.rows[4][3]
