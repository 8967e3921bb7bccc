"""The claims of the chapter on optimization in *Dive into Deep Learning*, one by one; where a wrong version of one is
in circulation, it is shown to be wrong. Claims 7 to 9, on chance, are in test_claims_of_chance."""

import math

import numpy as np
import pytest

from stepwell import rules
from stepwell.functions import minimize, sets, surfaces, theory
from stepwell.functions.surfaces import Surface
from stepwell.functions.surfaces.surface import sp

TURN = np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
"""The rotation by 45°."""


def test_claim_01_convexity_has_four_faces() -> None:
    for surface, convex in ((surfaces.half_square, True), (surfaces.cosine, False), (surfaces.exponential, True)):
        by_hessian, by_chords = theory.is_convex(surface, chords=0), theory.is_convex(surface, points=0)
        assert bool(by_hessian) == bool(by_chords) == convex
    points = np.random.default_rng(0).uniform(-2, 2, (100, 1))
    assert theory.jensen_gap(surfaces.exponential, points) > 0
    assert theory.jensen_gap(surfaces.cosine, [[-0.3], [0.3]]) < 0  # Jensen's inequality needs convexity
    one, other = sets.Ball(1.0), sets.Ball(1.0, centre=1.0)
    box = [(-2.0, 3.0), (-2.0, 3.0)]
    assert theory.is_convex_set(lambda x: one.contains(x) and other.contains(x), box, chords=300)
    assert not theory.is_convex_set(lambda x: one.contains(x) or other.contains(x), box)  # but not unions
    for signs, kind in (((1.0, 2.0), "minimum"), ((-1.0, -2.0), "maximum"), ((1.0, -2.0), "saddle")):
        assert theory.critical_point(surfaces.quadratic(np.diag(signs)), [0.0, 0.0]) == kind


def test_claim_02_newton_squares_the_error() -> None:
    assert minimize(surfaces.half_square, 1.5, "newton", steps=1).x == 0
    shifted = Surface("shifted", "e^x - x, where f''' = f'' = e^x", lambda x: sp.exp(x) - x, domain=((-2.0, 2.0),))
    errors = np.abs(minimize(shifted, 0.8, "newton", steps=4).path)
    ratios = errors[1:] / errors[:-1] ** 2
    limit = 1 / 2  # |f'''| / 2f'' at the minimum
    worst = math.exp(0.8) / 2  # its largest value on the way: max |f'''| over min 2f''
    assert (ratios < worst).all()
    assert ratios[-1] == pytest.approx(limit, abs=0.01)
    assert ratios[-1] != pytest.approx(2 * limit, abs=0.2)  # f'''/f'', the ½ forgotten
    assert (errors[1:] / errors[:-1])[-1] < 0.01  # no linear convergence


def test_claim_03_gradient_descent_is_a_power() -> None:
    for rate, curvature in ((0.2, 2.0), (0.05, 4.0), (0.9, 2.0), (1.1, 2.0)):
        path = minimize(surfaces.quadratic([[curvature]]), [10.0], lr=rate, steps=10).path[:, 0]
        assert path == pytest.approx((1 - rate * curvature) ** np.arange(11) * 10)
    assert theory.stability_limit("gradient_descent") == 2
    assert not theory.stability("gradient_descent", 2.0, 1.0).stable
    for product in (1.2, 1.9):  # "past 1 it diverges": there it overshoots, and still converges
        x = minimize(surfaces.half_square, 1.0, lr=product, steps=300).x
        assert abs(x) < 1e-9


def test_claim_04_momentum_is_stable_up_to_two_plus_two_beta() -> None:
    for beta in (0.25, 0.5, 0.9):
        limit = theory.stability_limit("momentum", beta=beta)
        assert limit == pytest.approx(2 + 2 * beta, rel=1e-12)
        assert limit != pytest.approx(2 + beta, rel=0.05)
        inside, outside = (
            minimize(surfaces.half_square, 1.0, "momentum", lr=limit * k, beta=beta, steps=600) for k in (0.97, 1.03)
        )
        assert abs(inside.x) < 1e-6
        assert abs(outside.x) > 1e2
    for lr, curvature, beta in ((0.6, 0.2, 0.5), (0.6, 4.0, 0.5), (0.1, 3.0, 0.8)):
        found = theory.stability("momentum", lr, curvature, beta=beta)
        book = np.array([[beta, curvature], [-lr * beta, 1 - lr * curvature]])
        assert np.linalg.det(book) == pytest.approx(beta)
        assert np.poly(found.matrix) == pytest.approx(np.poly(book))
        if lr == 0.6:
            assert found.radius == pytest.approx(0.7071, abs=5e-5)


def test_claim_05_momentum_is_a_leaky_sum() -> None:
    g = np.random.default_rng(0).normal(size=30)
    velocity, beta = 0.0, 0.9
    for value in g:
        _, velocity = rules.momentum(value, velocity, beta=beta)
    weights = theory.average_weights("momentum", 30, beta=beta)
    assert weights == pytest.approx(beta ** np.arange(30))
    assert velocity == pytest.approx(weights @ g[::-1])
    assert theory.average_weights("momentum", 500, beta=beta).sum() == pytest.approx(1 / (1 - beta))
    plain = minimize(surfaces.ravine, [-5.0, -2.0], lr=0.4, steps=20).path
    assert np.array_equal(minimize(surfaces.ravine, [-5.0, -2.0], "momentum", lr=0.4, beta=0.0, steps=20).path, plain)


def test_claim_06_a_quadratic_is_as_many_problems_as_it_has_axes() -> None:
    q, c, b = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([1.0, -4.0]), 0.7
    f, inverse = surfaces.quadratic(q, c, b), np.linalg.inv(q)
    assert f.minimum == pytest.approx(b - c @ inverse @ c / 2)
    x = np.array([2.0, 3.0])
    assert f.gradient(x) == pytest.approx(q @ (x + inverse @ c))
    assert f.gradient(x) != pytest.approx(q @ (x - inverse @ c), rel=0.1)  # the sign that is in circulation
    curvature, axes = np.linalg.eigh(q)
    lr, steps = 0.3, 15
    ends = [minimize(surfaces.quadratic([[k]]), [z], lr=lr, steps=steps).x[0] for k, z in
            zip(curvature, axes.T @ (x + inverse @ c), strict=True)]  # fmt: skip
    assert minimize(f, x, lr=lr, steps=steps).x == pytest.approx(axes @ ends - inverse @ c)


def test_claim_10_the_diagonal_preconditions() -> None:
    aligned = surfaces.ravine.hessian([0.0, 0.0])
    assert theory.precondition(aligned) == pytest.approx(np.eye(2))
    turned = surfaces.ravine_rotated.hessian([0.0, 0.0])
    scaled = theory.precondition(turned)
    assert scaled == pytest.approx(turned / np.outer(*[np.sqrt(turned.diagonal())] * 2))
    assert theory.condition_number(scaled) == pytest.approx(theory.condition_number(turned))  # it does not help there
    factor = np.random.default_rng(0).normal(size=(6, 6))
    q = theory.precondition(factor @ factor.T + np.diag([1.0, 1e1, 1e2, 1e3, 1e4, 1e5]))
    assert q == pytest.approx(q.T)
    assert theory.gershgorin(q).contain(np.linalg.eigvalsh(q)).all()
    assert not theory.gershgorin(np.diag(q.diagonal())).contain(np.linalg.eigvalsh(q)).all()  # of radius 0 they do not
    edge = theory.gershgorin([[3.0, 1.0], [1.0, 3.0]])  # whose eigenvalues 2 and 4 lie on the edge of the discs
    assert edge.contain([2.0, 4.0]).all()
    assert not edge.contain([1.99, 4.01]).any()


def test_claim_11_adaptive_rules_start_with_steps_of_a_known_size() -> None:
    t = np.arange(1, 51)
    for g in (1e-2, -7.0):
        adagrad = theory.effective_rate("adagrad", [g] * 50, lr=0.4, eps=0.0) * g
        assert adagrad == pytest.approx(0.4 / np.sqrt(t) * np.sign(g))
        assert adagrad[9] != pytest.approx(0.4 / 10 * np.sign(g), rel=0.5)  # 1/t it is not
        rmsprop = theory.effective_rate("rmsprop", [g], lr=0.4, gamma=0.9)[0] * g
        assert rmsprop == pytest.approx(3.1623 * 0.4 * np.sign(g), rel=1e-4)
        adadelta = theory.effective_rate("adadelta", [10 * g], rho=0.9, eps=1e-5)[0] * 10 * g
        assert adadelta == pytest.approx(0.01 * np.sign(g), rel=1e-2)
    half_life = theory.half_life(0.9)
    assert half_life == pytest.approx(6.58, abs=5e-3)
    weights = theory.average_weights("rmsprop", 12, "s", gamma=0.9)
    assert weights[6] / weights[0] > 0.5 > weights[7] / weights[0]
    assert weights[10] / weights[0] < 0.36  # 1/(1-γ) = 10 steps are no half-life, they leave 1/e


def test_claim_12_adam_corrects_its_bias() -> None:
    beta1, beta2, g1, g2 = 0.9, 0.999, 0.7, -1.9
    _, m, v = rules.adam(g1, 0.0, 0.0, 1)
    _, m, v = rules.adam(g2, m, v, 2)
    assert m == pytest.approx((1 - beta1) * (beta1 * g1 + g2))
    gradients, mean = np.random.default_rng(0).normal(3.0, 1.0, (10, 20000)), np.zeros(20000)
    for t, g in enumerate(gradients, 1):
        _, mean, _ = rules.adam(g, mean, 1.0, t)
        assert mean.mean() == pytest.approx(3 * (1 - beta1**t), rel=0.01)
        series = np.sum(beta1 ** np.arange(t))
        assert series == pytest.approx((1 - beta1**t) / (1 - beta1))
        assert series + beta1**t != pytest.approx((1 - beta1**t) / (1 - beta1), rel=0.01)  # Σ to t and not t-1
    assert theory.bias_correction("adam", 10) == pytest.approx(0.65132, abs=5e-6)
    for g in (1e-3, -50.0):
        corrected, *_ = rules.adam(g, 0.0, 0.0, 1, lr=0.1, eps=0.0)
        uncorrected, *_ = rules.adam(g, 0.0, 0.0, 10**9, lr=0.1, eps=0.0)
        assert corrected == pytest.approx(0.1 * np.sign(g))
        assert uncorrected / corrected == pytest.approx((1 - beta1) / math.sqrt(1 - beta2))
        assert uncorrected / corrected == pytest.approx(3.16, abs=5e-3)
    history = np.random.default_rng(1).normal(size=40)
    steps = [theory.effective_rate("adam", k * history, eps=0.0) * k * history for k in (1.0, 1e-6, 1e6)]
    assert steps[1] == pytest.approx(steps[0])
    assert steps[2] == pytest.approx(steps[0])


def _online(name: str, **hyper: float) -> float:
    """Reddi, Kale & Kumar (2018), section 3: gradients C, -1, -1, C … on [-1, 1], so that -1 is best; C = 3."""
    rule, x, c = rules.named[name], 0.0, 3.0
    complete = rule.complete({"beta1": 0.0, "beta2": 1 / (1 + c * c), **hyper})
    state = [rule.start_of(s, complete) for s in rule.state]
    for t in range(1, 6001):
        g = c if t % 3 == 1 else -1.0
        arrays = {"p": x, "g": g, "t": t, **dict(zip(rule.state, state, strict=True))}
        step, *state = rule.bind(arrays, {**complete, "lr": 0.5 / math.sqrt(t)})
        x = min(1.0, max(-1.0, x - step))
    return x


def test_claim_13_yogi_moves_its_scale_by_additions_and_converges_where_adam_does_not() -> None:
    for g, v in ((0.1, 4.0), (3.0, 4.0), (1e-6, 4.0)):
        _, _, yogi = rules.yogi(g, 0.0, v, 5)
        _, _, adam = rules.adam(g, 0.0, v, 5)
        assert yogi - v == pytest.approx((1 - 0.999) * g**2 * np.sign(g**2 - v), abs=1e-15)  # down where g² < v
        assert adam - v == pytest.approx((1 - 0.999) * (g**2 - v))
    assert _online("adam") > 0.8  # at the worst end
    assert _online("yogi") < -0.95
    assert _online("amsgrad") < -0.95


def test_claim_14_a_projection_is_the_closest_point_and_brings_points_together() -> None:
    random, ball = np.random.default_rng(0), sets.Ball(2.0)
    for _ in range(50):
        x, y = random.normal(size=(2, 3)) * 4
        near, other = ball.project(x), ball.project(y)
        members = random.normal(size=(200, 3))
        members *= 2 * random.uniform(size=(200, 1)) / np.linalg.norm(members, axis=1, keepdims=True)
        assert (np.linalg.norm(members - x, axis=1) >= np.linalg.norm(near - x) - 1e-12).all()
        assert np.linalg.norm(near - other) <= np.linalg.norm(x - y) + 1e-12
        clipped = x * min(1.0, 2.0 / np.linalg.norm(x))
        assert near == pytest.approx(clipped)
        assert sets.clip(x, 2.0) == pytest.approx(clipped)
    outside = np.array([3.0, 0.1, 0.1])
    by_coordinate = sets.Box(-2.0, 2.0).project(outside)
    assert by_coordinate != pytest.approx(ball.project(outside), rel=1e-3)  # clipping each coordinate is another set's


def test_claim_15_adagrad_depends_on_the_coordinates_and_gradient_descent_does_not() -> None:
    start = np.array(surfaces.ravine.start)
    for name, lr, invariant in (("gradient_descent", 0.4, True), ("momentum", 0.2, True), ("adagrad", 0.4, False)):
        here = minimize(surfaces.ravine, start, name, lr=lr, steps=20).path
        there = minimize(surfaces.ravine_rotated, TURN @ start, name, lr=lr, steps=20).path
        gap = np.abs(there - here @ TURN.T).max()
        assert gap < 1e-12 if invariant else gap > 0.1
