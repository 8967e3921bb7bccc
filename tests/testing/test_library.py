"""Rules of the library pass the suite: of each family the richest. STEPWELL_EVERY_RULE=1 asks for all of them, and
STEPWELL_DOORS for other doors than the two that every environment has."""

import os

from stepwell import rules
from tests.testing.library import OF_EACH_FAMILY, suites

_given = list(rules.named.values()) if "STEPWELL_EVERY_RULE" in os.environ else OF_EACH_FAMILY
globals().update(suites(_given, os.environ.get("STEPWELL_DOORS", "numpy,torch").split(",")))
