"""Functions to descend, each written once as mathematics; value, gradient and Hessian are derived from the formula.

>>> from stepwell.functions import surfaces
>>> surfaces.bowl([-5.0, -2.0]), surfaces.bowl.gradient([-5.0, -2.0])
(33.0, array([-10.,  -8.]))
>>> surfaces.cosh.hessian(0.0)
0.25
>>> surfaces.bowl
<surface bowl, 2-D: x1²+2x2², mild in one axis, steep in the other>

`named` holds every surface of this module by name.
"""

from stepwell.functions.surfaces.catalogue import *  # noqa: F403
from stepwell.functions.surfaces.families import powers_of_two as powers_of_two
from stepwell.functions.surfaces.families import quadratic as quadratic
from stepwell.functions.surfaces.families import rotated as rotated
from stepwell.functions.surfaces.surface import Surface

named: dict[str, Surface] = {name: value for name, value in list(globals().items()) if isinstance(value, Surface)}
