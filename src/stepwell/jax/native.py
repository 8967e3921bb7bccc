"""A step's arithmetic on the CPU where XLA alone would keep whole arrays between its passes: through our own kernel."""

import ctypes
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from stepwell.kernels import cpu, interpret, xla
from stepwell.kernels.source import truths_of
from stepwell.kernels.trace import updates
from stepwell.rule import Rule

Body = Callable[..., tuple[Any, ...]]
DTYPES = ("float32", "float64")


def suits(rule: Rule, arrays: Mapping[str, Any]) -> bool:
    """Whether the kernel can take these arrays, and pays.

    It takes arrays of one shape and dtype on one CPU device, since XLA cannot divide it over several.
    """
    if not _pays(rule) or not _is_alone() or not cpu.usable():
        return False
    alike = {(arrays[name].shape, arrays[name].dtype) for name in xla.arrays_of(updates(rule))}
    return len(alike) == 1 and arrays["g"].dtype.name in DTYPES


@functools.cache
def _pays(rule: Rule) -> bool:
    return xla.keeps_between(updates(rule))


@functools.cache
def _is_alone() -> bool:
    try:
        return jax.device_count("cpu") == 1
    except RuntimeError:  # there is no CPU among JAX's platforms
        return False


def body(rule: Rule, arrays: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
    """As `interpret.body`, of scalars in double precision; by the kernel where it is compiled for the CPU."""
    names = xla.scalars_in(updates(rule))
    vector = jnp.stack([jnp.asarray(scalars[name], jnp.float64) for name in names] or [jnp.zeros((), jnp.float64)])
    given = [arrays[name] for name in xla.arrays_of(updates(rule))]
    by_xla, by_kernel = _ways(rule, given[0].dtype.name)
    made = lax.platform_dependent(vector, *given, cpu=by_kernel, default=by_xla)
    return dict(zip(xla.results_of(updates(rule)), made, strict=True))


@functools.cache
def _ways(rule: Rule, dtype: str) -> tuple[Body, Body]:
    step = updates(rule)
    names, arrays, results = xla.scalars_in(step), xla.arrays_of(step), xla.results_of(step)
    places = {"g": 0} | {name: k for k, name in enumerate(results)}  # the update in the place of its gradient
    aliases = {k: places[name] for k, name in enumerate(arrays, 1) if name in places}
    target, truths = _registered(xla.handler_source(step, dtype)), truths_of(step)

    def by_xla(vector: Any, *given: Any) -> tuple[Any, ...]:
        narrow = {n: vector[k] != 0 if n in truths else vector[k].astype(dtype) for k, n in enumerate(names)}
        made = interpret.body(step, dict(zip(arrays, given, strict=True)), narrow)
        return tuple(jnp.broadcast_to(jnp.asarray(made[name], dtype), given[0].shape) for name in results)

    @jax.custom_jvp
    def by_kernel(vector: Any, *given: Any) -> tuple[Any, ...]:
        like = jax.ShapeDtypeStruct(given[0].shape, given[0].dtype)
        made = [like] * len(results)
        call = jax.ffi.ffi_call(target, made, vmap_method="broadcast_all", input_output_aliases=aliases)
        return tuple(call(vector, *given))

    @by_kernel.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        return jax.jvp(by_xla, primals, tangents)

    return by_xla, by_kernel


_kept: list[Any] = []  # XLA keeps no hold on what it was given the address of


def _registered(source: str) -> str:
    """The name under which XLA knows a kernel."""
    name = f"stepwell_{hashlib.sha256(source.encode()).hexdigest()[:24]}"
    handler = xla.handler(source)
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    jax.ffi.register_ffi_target(name, capsule(handler(), None, None), platform="cpu")
    _kept.append(handler)
    return name
