"""Spectral radii taken from the rules, against theory and against the rules run."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stepwell import rules
from stepwell.functions.theory import stability, stability_limit
from stepwell.rule import Rate, rule

SECOND_MOMENTS = {"s", "u", "v", "v_max", "d"}


def hyper_of(name: str) -> dict[str, Any]:
    return {"weight_decay": 0.0} if "weight_decay" in rules.named[name].hyperparameters else {}


def moments_of(name: str) -> dict[str, float]:
    """Second moments held at 4: the states of that name which do not respond to p."""
    found = stability(name, 0.1, 1.0, **hyper_of(name))
    return {s: 4.0 for s in rules.named[name].state if s in SECOND_MOMENTS and s not in found.coordinates}


def run(name: str, lr: float, curvature: float, hyper: dict[str, float], held: dict[str, float]) -> float:
    """The growth of |p| in the last of 300 updates of the rule itself, its second moments put back each time."""
    chosen = rules.named[name]
    complete = chosen.complete({**hyper, "lr": lr})
    p, state = 1e-150, {s: chosen.start_of(s, complete) for s in chosen.state}
    sizes = []
    for t in range(1, 301):
        step, *new = chosen.bind({"p": p, "g": curvature * p, "t": 10**9 + t, **state, **held}, complete)
        state = dict(zip(chosen.state, new, strict=True))
        p -= step
        sizes.append(abs(p))
    return max(sizes[250:]) / max(sizes[150:200])


@given(st.floats(0.0, 0.99), st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_the_limits_of_the_textbooks(beta: float, curvature: float) -> None:
    assert stability_limit("gradient_descent") == 2
    assert stability_limit("momentum", beta=beta) == pytest.approx(2 + 2 * beta, rel=1e-9)
    assert stability_limit("nesterov", beta=beta) == pytest.approx((2 + 2 * beta) / (1 + 2 * beta), rel=1e-9)
    edge = stability("momentum", (2 + 2 * beta) / curvature, curvature, beta=beta)
    assert edge.radius == pytest.approx(1, abs=1e-6)
    assert np.linalg.det(edge.matrix) == pytest.approx(beta, abs=1e-12)
    assert edge.coordinates == ("p", "v")


def test_a_double_eigenvalue_is_no_obstacle() -> None:
    assert stability_limit("momentum", beta=0.25) == pytest.approx(2.5)  # at ηλ = .25 it has one


def test_the_books_numbers() -> None:
    for curvature in (0.2, 4.0):
        found = stability("momentum", 0.6, curvature, beta=0.5)
        assert found.radius == pytest.approx(0.5**0.5, abs=1e-9)
        book = np.array([[0.5, curvature], [-0.6 * 0.5, 1 - 0.6 * curvature]])  # of (v, p), v updated first
        assert np.sort_complex(np.linalg.eigvals(book)) == pytest.approx(np.sort_complex(found.eigenvalues))
    assert stability("gradient_descent", 0.6, [0.2, 4.0]).curvature == 4.0
    assert not stability("gradient_descent", 0.6, [0.2, 4.0]).stable
    assert stability("gradient_descent", 0.4, [0.2, 4.0]).radius == pytest.approx(0.92)


def test_the_worst_curvature_decides() -> None:
    every = [stability("nesterov", 0.3, c, beta=0.8).radius for c in (0.01, 1.0, 3.0)]
    assert stability("nesterov", 0.3, [0.01, 1.0, 3.0], beta=0.8).radius == max(every)


@pytest.mark.parametrize("name", rules.named)
def test_every_rule_has_an_answer_and_its_runs_agree(name: str) -> None:
    hyper = hyper_of(name)
    held = moments_of(name)
    limit = stability_limit(name, state=held, **hyper)
    if name in ("lion", "adamax_eps_outside"):  # a sign, or a largest size so far, is not linear at the fixed point
        assert limit == 0
        assert stability(name, 1e-6, 1.0).radius == np.inf
        return
    assert 0.5 < limit < 200
    before = {}  # what the rule must be given so that the held value stands after the update
    for s, value in held.items():
        complete = rules.named[name].complete({**hyper, "lr": 0.1})
        zero = dict.fromkeys(rules.named[name].state, 0.0)
        _, *after = rules.named[name].bind({"p": 0.0, "g": 0.0, "t": 10**9, **zero, **held}, complete)
        kept = dict(zip(rules.named[name].state, after, strict=True))[s]
        before[s] = value * value / kept
    for factor, settles in ((0.97, True), (1.03, False)):
        assert stability(name, 0.5, 2 * factor * limit, state=held, **hyper).stable is settles
        growth = run(name, 0.5, 2 * factor * limit, hyper, before)
        assert (growth < 1) is settles, (growth, factor)


@pytest.mark.parametrize("name", ["adam", "adamax", "radam", "yogi", "amsgrad"])
def test_adams_limit_is_momentums_in_units_of_its_scale(name: str) -> None:
    eps, beta = 1e-3, 0.8
    expected = 2 * (1 + beta) / (1 - beta)
    assert stability_limit(name, beta1=beta, eps=eps) == pytest.approx(expected * eps, rel=1e-9)
    scale = 4.0 if name == "adamax" else 2.0 + eps
    assert stability_limit(name, beta1=beta, eps=eps, state=moments_of(name)) == pytest.approx(expected * scale)


def test_a_second_moment_at_rest_leaves_epsilon_to_scale_the_step() -> None:
    assert stability_limit("adagrad", eps=1e-4) == pytest.approx(2e-4)
    assert stability_limit("adagrad", eps=1e-4, initial_accumulator=9.0) == pytest.approx(2 * (3 + 1e-4))
    assert stability_limit("rmsprop_eps_inside", eps=1e-4) == pytest.approx(2e-2)
    assert stability_limit("adadelta") == pytest.approx(2)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("momentum", {"beta": 0.7}), ("adam", {"eps": 1.0}), ("rmsprop_centered", {"eps": 1.0}),
]  # fmt: skip


@given(st.floats(-250, 250))
@example(200.0)
def test_scale_does_not_matter(exponent: float) -> None:
    scale = 10.0**exponent
    for name, hyper in CASES if abs(exponent) < 100 else CASES[:2]:  # centred, squares of the gradient must underflow
        here, there = stability(name, 0.3, 2.0, **hyper), stability(name, 0.3 / scale, 2.0 * scale, **hyper)
        assert there.radius == pytest.approx(here.radius, rel=1e-6)


def test_an_update_without_a_derivative_never_settles() -> None:
    for name in ("adam", "rmsprop", "adagrad", "adamax"):
        assert stability(name, 1e-3, 1.0, eps=0.0).radius == np.inf
        held = moments_of(name)
        assert stability(name, 1e-3, 1.0, eps=0.0, state=held).stable


def test_weight_decay_pulls_too() -> None:
    found = stability("adamw", 0.1, 1.0, weight_decay=0.5, state={"v": 4.0}, eps=0.0)
    assert found.matrix == pytest.approx(np.array([[1 - 0.05 - 0.1 * 0.1 / 2, -0.1 * 0.9 / 2], [0.1, 0.9]]))
    with pytest.raises(ValueError, match="through lr·curvature alone; got adamw"):
        stability_limit("adamw", weight_decay=0.5)


def test_a_rule_of_ones_own() -> None:
    @rule
    def lookback(g, old, *, lr: Rate = 0.1):
        "Optimistic descent."
        return lr * (2 * g - old), g

    assert stability_limit(lookback) == pytest.approx(2 / 3)

    @rule
    def still(g, *, lr: Rate = 0.1):
        "It does not move."
        return 0 * lr * g

    assert stability(still, 1.0, 1.0).radius == 1
    assert not stability(still, 1.0, 1.0).stable
    assert stability_limit(still) == 0


def test_errors() -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ("adm", {}, "rule must be one of gradient_descent"),
        ("adam", {"lr": 0.0}, "lr must be a finite number > 0; got 0.0"),
        ("adam", {"curvature": []}, "curvature must be finite numbers > 0"),
        ("adam", {"curvature": [1.0, -1.0]}, "curvature must be finite numbers > 0"),
        ("adam", {"beta1": 1.0}, "beta1 must be"),
        ("adam", {"state": {"s": 1.0}}, "state must name states of adam, m, v; got 's'"),
        ("momentum", {"state": {"v": 1.0}}, "state must leave p = 0 in its place"),
        ("rmsprop", {"state": {"s": 1.0}, "gamma": 0.0}, "state must be what rmsprop can hold"),
    ]
    for chosen, arguments, words in cases:
        with pytest.raises(ValueError, match=words):
            stability(chosen, **{"lr": 0.1, "curvature": 1.0, **arguments})
    wrong: Any
    for wrong in ("a", [1j], ["a"]):
        with pytest.raises(TypeError, match="curvature must be finite numbers > 0"):
            stability("adam", 0.1, wrong)
    wrong = 3
    with pytest.raises(TypeError, match="rule must be a rule or the name of one; got 3"):
        stability(wrong, 0.1, 1.0)
    with pytest.raises(TypeError, match="no hyperparameter 'gamma'"):
        stability("adam", 0.1, 1.0, gamma=0.5)
