"""The surfaces of *Dive into Deep Learning*'s chapter on optimization, and the field's own."""

from dataclasses import replace

from stepwell.functions.surfaces.families import rotated
from stepwell.functions.surfaces.surface import Surface, sp

_PLANE, _START = ((-5.5, 1.0), (-3.0, 1.0)), (-5.0, -2.0)

risk = Surface(
    "risk", "x·cos πx, what learning should minimize", lambda x: x * sp.cos(sp.pi * x),
    domain=((0.5, 1.5),), minima=((1.0904082219467213,),), start=(0.6,),
)  # fmt: skip
empirical_risk = Surface(
    "empirical_risk", "the risk and a ripple, what learning sees of it",
    lambda x: risk.formula(x) + 0.2 * sp.cos(5 * sp.pi * x),
    domain=((0.5, 1.5),), minima=((1.0169834031079086,),), start=(0.6,),
)  # fmt: skip
local_minimum = replace(
    risk, name="local_minimum", about="x·cos πx with its local minimum at -.274", domain=((-1.0, 2.0),), start=(-0.8,)
)
cubic = Surface("cubic", "x³, flat at 0 and no minimum there", lambda x: x**3, domain=((-2.0, 2.0),), start=(1.5,))
saddle = Surface(
    "saddle", "x1²-x2², down one axis and up the other", lambda x, y: x**2 - y**2,
    domain=((-1.0, 1.0), (-1.0, 1.0)), start=(0.9, 0.01),
)  # fmt: skip
tanh = Surface("tanh", "tanh x, whose gradient vanishes", lambda x: sp.tanh(x), domain=((-2.0, 5.0),), start=(4.0,))

half_square = Surface(
    "half_square", "½x², convex", lambda x: x**2 / 2, domain=((-2.0, 2.0),), minima=((0.0,),), start=(1.5,)
)
cosine = Surface(
    "cosine", "cos πx, not convex", lambda x: sp.cos(sp.pi * x),
    domain=((-2.0, 2.0),), minima=((-1.0,), (1.0,)), start=(0.1,),
)  # fmt: skip
exponential = Surface(
    "exponential", "e^(x/2), convex without a minimum", lambda x: sp.exp(x / 2), domain=((-2.0, 2.0),), start=(1.5,)
)

square = Surface("square", "x²", lambda x: x**2, domain=((-11.0, 11.0),), minima=((0.0,),), start=(10.0,))
wave = Surface(
    "wave", "x·cos .15πx, with a poor minimum at -1.8 and the best at 7.3", lambda x: x * sp.cos(0.15 * sp.pi * x),
    domain=((-10.0, 10.0),), minima=((7.269388146311475,),), start=(10.0,),
)  # fmt: skip
cosh = Surface(
    "cosh", "cosh ½x, convex", lambda x: sp.cosh(0.5 * x), domain=((-10.0, 10.0),), minima=((0.0,),), start=(10.0,)
)
bowl = Surface(
    "bowl", "x1²+2x2², mild in one axis, steep in the other", lambda x, y: x**2 + 2 * y**2,
    domain=_PLANE, minima=((0.0, 0.0),), start=_START,
)  # fmt: skip
ravine = Surface(
    "ravine", ".1x1²+2x2², twenty times as steep across as along", lambda x, y: 0.1 * x**2 + 2 * y**2,
    domain=_PLANE, minima=((0.0, 0.0),), start=_START,
)  # fmt: skip
ravine_rotated = rotated(ravine)
ravine_rotated_doubled = Surface(
    "ravine_rotated_doubled", ".1(x1+x2)²+2(x1-x2)², turned, and twice as steep as the ravine",
    lambda x, y: ravine.formula(x + y, x - y),
    domain=((-5.5, 5.5), (-5.5, 5.5)), minima=((0.0, 0.0),), start=_START,
)  # fmt: skip
log_sum_exp = Surface(
    "log_sum_exp", "log(e^x+e^(-2x-3)), convex, for line search", lambda x: sp.log(sp.exp(x) + sp.exp(-2 * x - 3)),
    domain=((-5.0, 5.0),), minima=((-0.7689509398133516,),), start=(3.0,),
)  # fmt: skip

rosenbrock = Surface(
    "rosenbrock", "(1-x1)²+100(x2-x1²)², a curved valley", lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
    domain=((-2.0, 2.0), (-1.0, 3.0)), minima=((1.0, 1.0),), start=(-1.2, 1.0),
)  # fmt: skip
beale = Surface(
    "beale", "Beale's, flat with sharp corners",
    lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    domain=((-4.5, 4.5), (-4.5, 4.5)), minima=((3.0, 0.5),), start=(1.0, 1.0),
)  # fmt: skip
himmelblau = Surface(
    "himmelblau", "(x1²+x2-11)²+(x1+x2²-7)², four equal minima",
    lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    domain=((-5.0, 5.0), (-5.0, 5.0)),
    minima=(
        (3.0, 2.0), (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.2831859912861696), (3.5844283403304917, -1.8481265269644036),
    ),
    start=(0.0, 0.0),
)  # fmt: skip
rastrigin = Surface(
    "rastrigin", "Rastrigin's, a bowl under a lattice of minima",
    lambda x, y: 20 + x**2 - 10 * sp.cos(2 * sp.pi * x) + y**2 - 10 * sp.cos(2 * sp.pi * y),
    domain=((-5.12, 5.12), (-5.12, 5.12)), minima=((0.0, 0.0),), start=(3.4, -2.7),
)  # fmt: skip
styblinski_tang = Surface(
    "styblinski_tang", "½Σ(xᵢ⁴-16xᵢ²+5xᵢ), four minima of which one is the least",
    lambda x, y: sum(z**4 - 16 * z**2 + 5 * z for z in (x, y)) / 2,
    domain=((-5.0, 5.0), (-5.0, 5.0)), minima=((-2.903534027771177, -2.903534027771177),), start=(4.0, 4.0),
)  # fmt: skip
