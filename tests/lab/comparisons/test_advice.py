"""What a comparison says in words, and when it warns."""

from collections.abc import Sequence

import pytest

from stepwell.lab.comparisons import advice
from stepwell.lab.comparisons.contest import Contest
from stepwell.rules import named
from tests.lab.contests import contest

GOOD = [0.10, 0.12, 0.11, 0.13, 0.115, 0.125, 0.105, 0.118]
NOISE = [-0.013, 0.008, 0.011, -0.006, 0.004, -0.009, 0.012, -0.002]
SMALL = {0.001: 2.0, 0.01: 1.0, 0.1: 2.0}  # losses by rate, the best inside
RISING = {0.001: 3.0, 0.01: 2.0, 0.1: 1.0}  # the best at the highest


def above(gap: float) -> list[float]:
    return [x + gap + noise for x, noise in zip(GOOD, NOISE, strict=True)]


def made(gaps: dict[str, float], **more: object) -> Contest:
    """Optimizers so much above 0.1, all best inside of their grids."""
    tuning = dict.fromkeys(gaps, SMALL)
    return contest(tuning, {name: above(gap) if gap else GOOD for name, gap in gaps.items()}, GOOD[::-1], **more)  # pyright: ignore[reportArgumentType]


def narrow(found: Contest) -> list[str]:
    return [text for text in advice.warnings(found) if "too narrow" in text]


def test_the_answer_names_the_best_and_by_how_much_the_others_are_worse() -> None:
    text = advice.sentence(made({"adam": 0.3, "momentum": 0.0, "lion": 0.001}))
    assert text.startswith(
        "made-up: momentum at a learning rate of 0.01 is best, with a mean validation loss of 0.1154 over 8 fresh seeds"
    )
    assert "; worse is adam by 0.301 (0.2" in text
    assert text.endswith("; lion cannot be told from it.")


def test_the_answer_says_what_is_slight() -> None:
    steady = [x + 0.01 + 0.001 * k for k, x in enumerate(GOOD)]
    found = contest(
        {"adam": SMALL, "lion": SMALL}, {"adam": GOOD, "lion": steady}, [0.01, 0.4, 0.3, 0.02, 0.2, 0.1, 0, 0.3]
    )
    text = advice.sentence(found)
    assert "; slightly worse is lion by 0.0135 (" in text
    assert text.endswith("less than other seeds make.")


def test_the_lines_make_the_first_at_its_setting() -> None:
    found = made({"adam": 0.3, "momentum": 0.0})
    assert advice.lines(found).endswith("optimizer = Momentum(model.parameters(), lr=0.01)")
    own = made({"adam": 0.3, "mine": 0.0})
    assert advice.lines(own) == ""


@pytest.mark.parametrize("name", ["adam", "amsgrad", "yogi", "nadam", "radam", "adamax", "rmsprop_momentum"])
def test_one_that_is_momentum_where_epsilon_is_large_should_not_lose_to_it(name: str) -> None:
    (text,) = narrow(made({name: 0.3, "momentum": 0.0}))
    assert text.startswith(f"{name} loses to momentum, though it is the same where ε is large")
    assert "1910.05446" in text
    assert "and ε were not searched" in text
    assert '--sampler qmc --trials 20 (in Python sampler="qmc", trials=20)' in text


def test_with_weight_decay_it_is_the_same_only_without() -> None:
    (text,) = narrow(made({"adamw": 0.3, "gradient_descent": 0.0}))
    assert text.startswith("adamw loses to gradient_descent, though it is the same, with a weight_decay of 0, where")


@pytest.mark.parametrize(
    "gaps",
    [
        {"adam": 0.0, "momentum": 0.3},  # it wins
        {"adam": 0.001, "momentum": 0.0},  # a tie
        {"lion": 0.3, "momentum": 0.0},  # not momentum at any setting
        {"rmsprop": 0.3, "momentum": 0.0},
        {"adadelta": 0.3, "momentum": 0.0},
        {"adam": 0.3, "nesterov": 0.0},
        {"adam": 0.3, "lion": 0.0},
        {"mine": 0.3, "momentum": 0.0},
    ],
)
def test_else_nothing_is_said(gaps: dict[str, float]) -> None:
    assert narrow(made(gaps)) == []


def test_a_space_that_was_searched_is_too_narrow_only_at_its_edge() -> None:
    space = {"lr": [1e-5, 10.0], "1-beta1": [1e-3, 0.5], "eps": [1e-10, 0.1]}
    options = {"sampler": "qmc", "spaces": {"adam": space, "momentum": {"lr": [1e-5, 10.0]}}}
    inside = made({"adam": 0.3, "momentum": 0.0}, hyper={"adam": (("beta1", 0.9), ("eps", 1e-5))}, **options)
    assert narrow(inside) == advice.warnings(inside) == []
    (text,) = narrow(made({"adam": 0.3, "momentum": 0.0}, hyper={"adam": (("beta1", 0.9), ("eps", 0.09))}, **options))
    assert "its best ε is the highest that was tried" in text
    assert "not searched" not in text
    part = {"adam": {k: space[k] for k in ("lr", "1-beta1")}, "momentum": {"lr": [1e-5, 10.0]}}
    (text,) = narrow(
        made({"adam": 0.3, "momentum": 0.0}, hyper={"adam": (("beta1", 0.9),)}, sampler="qmc", spaces=part)
    )
    assert "for ε was not searched. --sampler qmc --trials 20" in text


def test_a_best_rate_at_the_end_of_the_grid_is_said_with_what_widens_it() -> None:
    found = contest({"adam": RISING, "lion": SMALL}, {"adam": GOOD, "lion": above(0.3)}, GOOD)
    (text,) = advice.warnings(found)
    assert text == (
        "adam: its best setting has the highest learning rate that was tried, and a better one may lie beyond; "
        "--trials 18 has rates a factor of ten further on both sides, for every optimizer."
    )


def test_an_edge_is_said_once() -> None:
    found = contest({"adam": RISING, "momentum": SMALL}, {"adam": above(0.3), "momentum": GOOD}, GOOD)
    (text,) = advice.warnings(found)
    assert "too narrow" in text
    assert "its best learning rate is the highest that was tried" in text


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (2, "2 seeds cannot show a difference, and every pair is a tie; 3 can, 6 are needed"),
        (4, "4 seeds are few; 6 are"),
    ],
)
def test_few_seeds_are_said(seeds: int, words: str) -> None:
    fresh: dict[str, Sequence[float]] = {"adam": GOOD[:seeds], "lion": above(0.3)[:seeds]}
    (text,) = advice.warnings(contest({"adam": SMALL, "lion": SMALL}, fresh, GOOD[:seeds]))
    assert text.startswith(words)
    assert text.endswith("--seeds 6" + ("." if text.endswith(".") else ""))


@pytest.mark.parametrize(("others", "needed"), [(1, 7), (2, 8), (6, 11)])
def test_seeds_are_few_for_the_pairs_that_there_are(others: int, needed: int) -> None:
    gaps = {"adam": 0.0, "lion": 0.3} | dict.fromkeys(list(named)[:others], 0.3)
    (text,) = [text for text in advice.warnings(made(gaps)) if "seed" in text] or [""]
    words = f"8 seeds are few; {needed} are needed for a claim among {others + 2} optimizers"
    assert text.startswith(words if needed > 8 else "")
    assert bool(text) == (needed > 8)


def test_a_tie_with_an_interval_above_0_is_explained() -> None:
    near = [x + gap for x, gap in zip(GOOD, [0.001, 0.03, 0.002, 0.04, 0.001, 0.02, 0.001, 0.03], strict=True)]
    again = [0.0, 0.4, 0.3, 0.02, 0.2, 0.1, 0.0, 0.3]
    found = contest({"adam": SMALL, "lion": SMALL}, {"adam": GOOD, "lion": near}, again)
    assert found.judgement is not None
    tied = found.judgement.standings[1]
    assert (tied.verdict, tied.against and tied.against.sign) == ("tie", 1)
    (text,) = advice.warnings(found)
    assert text.startswith("lion: a tie, though the interval is above 0: a difference within the noise floor")
    assert "at 99 % is above 0, too" in text


def test_what_a_sampler_cannot_reach_is_said_for_what_it_is() -> None:
    space = {"lr": [1e-5, 10.0], "1-beta1": [1e-3, 0.5]}
    spaces = {"adam": space, "lion": {"lr": [1e-5, 10.0]}}
    hyper = {"adam": (("beta1", 0.999),)}
    (text,) = advice.warnings(made({"adam": 0.0, "lion": 0.3}, hyper=hyper, sampler="qmc", spaces=spaces))
    assert "lie beyond; the range of β₁ is fixed; a function that makes the optimizer with another" in text
    assert "`rate`" not in text
    spaces["adam"]["lr"] = [1e-5, 0.01]
    (text,) = advice.warnings(made({"adam": 0.0, "lion": 0.3}, hyper=hyper, sampler="qmc", spaces=spaces))
    assert "with another `rate` has another middle of its range; the range of β₁ is fixed" in text


def test_a_leader_that_diverges_at_times_is_said() -> None:
    found = contest({"adam": SMALL, "lion": SMALL}, {"adam": GOOD, "lion": [None] * 8}, [*GOOD[:7], None])
    (text,) = advice.warnings(found)
    assert text.startswith("some of adam's runs diverged")
    lost = contest({"adam": SMALL, "lion": SMALL}, {"adam": [None] * 8, "lion": [None] * 8}, [None] * 8)
    assert advice.sentence(lost) == "made-up: every run diverged on the fresh seeds; try smaller learning rates."
