"""The formulas, one file a family, from the simplest to the richest. `named` holds every rule by name, in that order.

>>> from stepwell import rules
>>> rules.adam(1.0, 0.0, 0.0, 1, lr=0.5, eps=0.0)[0]  # the first step is lr·sign(g)
0.5
>>> list(rules.named)[:3]
['gradient_descent', 'momentum', 'momentum_dampened']
"""

from stepwell.rule import Rule

# isort: off
from stepwell.rules.descent import *
from stepwell.rules.adagrad import *
from stepwell.rules.rmsprop import *
from stepwell.rules.adadelta import *
from stepwell.rules.adam import *
from stepwell.rules.adamax import *
from stepwell.rules.nadam import *
from stepwell.rules.radam import *
from stepwell.rules.yogi import *
from stepwell.rules.lion import *
# isort: on

named: dict[str, Rule] = {name: value for name, value in list(globals().items()) if isinstance(value, Rule)}
