"""The fingerprint of a rule is its formula's: that of another formula differs, that of another process does not."""

import os
import subprocess
import sys

from stepwell import rules
from stepwell.checkpoint.fingerprint import fingerprint
from stepwell.rule import Decay, Positive, Rate, Rule, rule, sqrt


def one(g, v, t, *, lr: Rate = 0.1, beta: Decay = 0.9):
    """A rule."""
    v = beta * v + (1 - beta) * g**2
    return lr * g / sqrt(v / (1 - beta**t)), v


def of(formula, **start) -> str:
    return fingerprint(Rule(formula, start))


def test_every_rule_has_its_own():
    found = {fingerprint(each) for each in rules.named.values()}
    assert len(found) == len(rules.named)


def test_what_is_no_formula_does_not_count():
    def two(g, v, t, *, lr: Positive = 3.0, beta: Decay = 0.5):
        """Other words, defaults, domains and lines."""
        decayed = beta * v
        v = decayed + (1 - beta) * g**2
        corrected = v / (1 - beta**t)
        return lr * g / sqrt(corrected), v

    assert of(two) == of(one)


def test_every_part_of_the_formula_counts():
    def order(g, v, t, *, lr: Rate = 0.1, beta: Decay = 0.9):
        v = (1 - beta) * g**2 + beta * v
        return lr * g / sqrt(v / (1 - beta**t)), v

    def number(g, v, t, *, lr: Rate = 0.1, beta: Decay = 0.9):
        v = beta * v + (1 - beta) * g**2.0000000000000004
        return lr * g / sqrt(v / (1 - beta**t)), v

    def name(g, s, t, *, lr: Rate = 0.1, beta: Decay = 0.9):
        s = beta * s + (1 - beta) * g**2
        return lr * g / sqrt(s / (1 - beta**t)), s

    found = [of(one), of(one, v=1.0), of(one, v="lr"), of(order), of(number), of(name)]
    assert len(set(found)) == len(found)


def test_it_grows_with_the_formula_and_no_faster():
    @rule
    def deep(g, *, lr: Rate = 0.1):
        x = lr * g
        for _ in range(200):
            x = x * x  # a tree of 2**200 leaves
        return x

    assert len(fingerprint(deep)) == 16


def test_it_is_the_same_in_every_process():
    code = "from stepwell import rules; from stepwell.checkpoint.fingerprint import fingerprint\n"
    code += "print(*(fingerprint(each) for each in rules.named.values()))"
    here = [fingerprint(each) for each in rules.named.values()]
    for seed in ("1", "2"):
        run = [sys.executable, "-c", code]
        there = subprocess.run(
            run, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert there.stdout.split() == here


def test_it_is_what_files_of_version_1_have():
    """Or old files would be refused: whoever changes how it is made changes the format's version."""
    assert fingerprint(rules.adam) == "6308a7a9bdcf61eb"
