"""Arrays that lie on several devices: eight virtual ones, of the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEVICES, PATIENCE = 8, 300

BEGIN = """
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import stepwell.jax as door
from stepwell import schedules

STEPS = 50
assert jax.device_count() == 8
mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))
specs = {"w": P("x", "y"), "b": P("y"), "copies": P(), "rows": P(("x", "y"))}
place = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
host = {
    "w": np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8), "b": np.linspace(1, 2, 8, dtype=np.float32),
    "copies": np.linspace(-2, 2, 3, dtype=np.float32), "rows": np.linspace(-1, 2, 48, dtype=np.float32).reshape(16, 3),
}
x = np.random.default_rng(0).normal(size=(STEPS, 16, 8)).astype(np.float32)

def loss(params, x):
    return jnp.mean((jnp.tanh(x @ params["w"]) - params["b"]) ** 2) + sum(
        jnp.mean(params[name] ** 4) for name in ("copies", "rows")
    )

def on_one_device(optimizer):
    return trained(optimizer, {k: jnp.asarray(v) for k, v in host.items()}, x)

def on_all_devices(optimizer):
    return trained(optimizer, jax.device_put(host, place), jax.device_put(x, NamedSharding(mesh, P(None, ("x", "y")))))

def trained(optimizer, params, x):
    state = jax.jit(optimizer.init)(params)
    step = stepping(optimizer)
    for k in range(STEPS):
        params, state = step(params, state, x[k])
    return params, state

def stepping(optimizer):
    @jax.jit
    def step(params, state, x):
        updates, state = optimizer.update(jax.grad(loss)(params, x), state, params)
        return optax.apply_updates(params, updates), state
    return step

def same(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), found, expected)
    assert not np.allclose(found["w"], host["w"]), "nothing moved"
"""

RULES = """
rate = schedules.warmup(5, 0.05).then(schedules.cosine(60, 0.05))
for name in ("adamw", "nadam", "adadelta", "adagrad_rowwise"):
    optimizer = optax.chain(optax.clip_by_global_norm(0.1), getattr(door, name)(rate))
    params, (_, state) = on_all_devices(optimizer)
    alone, (_, bare) = on_one_device(optimizer)
    same(params, alone)
    assert int(state.count) == STEPS
    for field, tree in state.arrays.items():
        for key, spec in place.items():
            assert params[key].sharding.is_equivalent_to(spec, params[key].ndim), (name, key, params[key].sharding)
            if tree[key].shape == params[key].shape:
                assert tree[key].sharding.is_equivalent_to(spec, tree[key].ndim), (name, key, tree[key].sharding)
            np.testing.assert_allclose(tree[key], bare.arrays[field][key], rtol=1e-5, atol=1e-6)
"""

GATHERS = """
for name in ("adam", "adamw", "nadam", "adadelta", "lion", "sgd"):  # no rule of rows
    optimizer = getattr(door, name)(0.1)
    params = jax.device_put(host, place)
    text = jax.jit(optimizer.update).lower(params, optimizer.init(params), params).compile().as_text()
    assert not any(word in text for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute")), name
"""

MAPPED = """
for name in ("adam", "nadam", "yogi", "lion", "sgd"):
    optimizer = getattr(door, name)(0.05)
    alone, bare = on_one_device(optimizer)
    shapes = jax.eval_shape(optimizer.init, host)
    of_state = jax.tree.map(lambda s: P(), shapes)
    of_state = of_state._replace(**{
        field: {k: specs[k] if tree[k].shape == host[k].shape else P() for k in host}
        for field, tree in zip(of_state._fields[1:], shapes.arrays.values())
    })

    @jax.jit
    def step(params, state, x):
        gradients = jax.grad(loss)(params, x)
        def own(gradients, state, params):
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state
        return jax.shard_map(own, mesh=mesh, in_specs=(specs, of_state, specs), out_specs=(specs, of_state))(
            gradients, state, params
        )

    params = jax.device_put(host, place)
    state = optimizer.init(params)
    for k in range(STEPS):
        params, state = step(params, state, x[k])
    same(params, alone)
"""


@pytest.mark.parametrize("code", [RULES, GATHERS, MAPPED], ids=["rules", "no gathers", "shard_map"])
def test_on_eight_devices_as_on_one(code: str) -> None:
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", f"{BEGIN}{code}\nprint('sharded')"]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment, cwd=Path.cwd(), check=False
    )
    assert found.stdout.strip() == "sharded", found.stderr
