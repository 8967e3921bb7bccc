"""Mathematics on functions: test surfaces, minimizers, sets and constraints, theory.

>>> from stepwell.functions import minimize
>>> result = minimize(lambda x: x**2, 10.0, lr=0.2, steps=10, jac=lambda x: 2 * x)
>>> float(result.x.round(6)), result.nit, result.path.shape
(0.060466, 10, (11,))
"""

from stepwell.functions.minimizer import minimize as minimize
