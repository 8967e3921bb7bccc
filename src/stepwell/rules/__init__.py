"""The formulas, one file a family, from the simplest to the richest.

`algorithms` holds every algorithm by name, in that order; `named` holds them and, after them, their `forms` as the
frameworks offer them.

>>> from stepwell import rules
>>> rules.adam(1.0, 0.0, 0.0, 1, lr=0.5, eps=0.0)[0]  # the first step is lr·sign(g)
0.5
>>> list(rules.named)[:3]
['gradient_descent', 'momentum', 'momentum_dampened']
>>> "adam_nesterov" in rules.named, "adam_nesterov" in rules.algorithms
(True, False)
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

algorithms: dict[str, Rule] = {name: value for name, value in list(globals().items()) if isinstance(value, Rule)}

from stepwell.rules.forms.descent import *  # noqa: E402
from stepwell.rules.forms.adagrad import *  # noqa: E402
from stepwell.rules.forms.rmsprop import *  # noqa: E402
from stepwell.rules.forms.adadelta import *  # noqa: E402
from stepwell.rules.forms.adam import *  # noqa: E402
from stepwell.rules.forms.adamax import *  # noqa: E402
from stepwell.rules.forms.nadam import *  # noqa: E402
from stepwell.rules.forms.radam import *  # noqa: E402
# isort: on

named: dict[str, Rule] = {name: value for name, value in list(globals().items()) if isinstance(value, Rule)}
