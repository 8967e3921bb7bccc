"""Arrays that lie on several devices."""

import subprocess
import sys
from pathlib import Path

CODE = """
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import stepwell.jax as door
assert jax.device_count() == 4
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("x", "y"))
place = {"w": NamedSharding(mesh, P("x", "y")), "b": NamedSharding(mesh, P("y"))}
host = {"w": np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8), "b": np.linspace(1, 2, 8, dtype=np.float32)}
for name in ("adam", "adamw", "nadam", "adadelta", "lion", "adagrad_rowwise", "sgd"):
    optimizer = getattr(door, name)(0.1)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.tree.map(lambda x: 2 * x, params), state, params)
        return optax.apply_updates(params, updates), state

    params = jax.device_put(host, place)
    state = optimizer.init(params)
    for tree in state.arrays.values():
        if tree["w"].shape == (8, 8):
            assert tree["w"].sharding == place["w"], (name, tree["w"].sharding)
    alone, bare = {k: jnp.asarray(v) for k, v in host.items()}, optimizer.init(host)
    for _ in range(5):
        params, state = step(params, state)
        alone, bare = step(alone, bare)
    for key in host:
        assert params[key].sharding.is_equivalent_to(place[key], params[key].ndim), (name, params[key].sharding)
        np.testing.assert_allclose(params[key], alone[key], rtol=1e-6, atol=1e-6)
    text = step.lower(params, state).compile().as_text()
    assert name == "adagrad_rowwise" or "all-gather" not in text, name

    def mapped(params):
        state = optimizer.init(params)
        updates, _ = optimizer.update(jax.tree.map(lambda x: 2 * x, params), state, params)
        return updates
    if name != "adagrad_rowwise":
        spec = jax.tree.map(lambda s: s.spec, place)
        whole = jax.shard_map(mapped, mesh=mesh, in_specs=(spec,), out_specs=spec)(params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), whole, mapped(alone))
print("sharded")
"""


def test_sharded_arrays_stay_where_they_are():
    import os

    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, env=environment, cwd=Path.cwd()
    )
    assert found.stdout.strip() == "sharded", found.stderr
