"""Tests for a rule of one's own, as pytest tests: what every rule must do, in every engine and every installed door.

from stepwell.testing import RuleTestCase

class TestMyRule(RuleTestCase):
    rule = my_rule
"""

try:
    from stepwell.testing.case import RuleTestCase
except ModuleNotFoundError as _error:
    if _error.name != "pytest":
        raise
    raise ImportError('stepwell.testing needs pytest: pip install "stepwell[testing]"') from _error

from stepwell.testing.mutants import Mutant, mutants
from stepwell.testing.trial import LIMITS, Trial, assert_follows, settings

__all__ = ["LIMITS", "Mutant", "RuleTestCase", "Trial", "assert_follows", "mutants", "settings"]
