"""Every rule through JAX beside the float64 reference, and that wrong rules are told from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stepwell import rules
from stepwell.jax import from_rule
from tests.doors.matrix import Matrix


class TestMatrix(Matrix):
    door = "jax"


@pytest.mark.parametrize("name", list(rules.named))
def test_one_step_without_compiling_is_that_of_the_compiled_one(name):
    """The scalars of a rule are of double precision in either case."""
    p, g = jnp.asarray([0.5, -1.0]), jnp.asarray([1e-3, 2.0])
    optimizer = from_rule(rules.named[name])()
    state = optimizer.init(p)
    eager, compiled = optimizer.update(g, state, p), jax.jit(optimizer.update)(g, state, p)
    assert jax.tree.structure(eager) == jax.tree.structure(compiled)
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-7)
