"""The functions of the language inside a kernel for a GPU, on special values: as in NumPy, also NaN and infinity."""

import functools

import numpy as np
import pytest

from stepwell.kernels import Stages, gpu
from stepwell.rule import Rule, exp, log, maximum, minimum, rule, sign, sqrt, tanh, where
from tests.kernels.gpu.harness import Launched, on_device
from tests.kernels.test_vocabulary import DIGITS, ONE, ROUNDED, TWO, all_at_once, pairs, values

POWERS = {"float32": 1e-6, "float64": 2e-13}  # through 2^(y·log₂x), in float64: as many digits as log₂ of the result go


def compute(given: Rule, t: int = 1, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """What a kernel of `given` writes to its states."""
    dtype, size = arrays["g"].dtype, arrays["g"].size
    program = gpu.program(given, Stages())
    kernel = gpu.kernel(given, Stages(), (dtype.name,) * len(program.arrays), 1 << 16)
    named = {name: on_device(np.zeros(size, dtype)) for name in program.arrays}
    named |= {name: on_device(x) for name, x in arrays.items()}
    Launched(kernel, [[named[name] for name in program.arrays]], [0], [[]], [t - 1]).step()
    return {name.replace("_", " "): x.cpu().numpy() for name, x in named.items()}


@functools.cache
def of_one(dtype: str) -> dict[str, np.ndarray]:
    return compute(all_at_once({name: ours for name, (ours, _) in ONE.items()}, ("g",)), g=values(dtype))


@functools.cache
def of_two(dtype: str) -> dict[str, np.ndarray]:
    x, y = pairs(dtype)
    return compute(all_at_once({name: ours for name, (ours, _) in TWO.items()}, ("g", "p")), g=x, p=y)


def assert_like_numpy(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    close = POWERS[found.dtype.name] if name in ROUNDED | {"inverse"} else 0.0
    tiny = np.finfo(found.dtype).smallest_normal if name in ROUNDED | {"inverse"} else 0.0
    np.testing.assert_allclose(found, expected, rtol=close, atol=tiny)


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_argument(name, dtype):
    assert_like_numpy(name, of_one(dtype)[name], ONE[name][1](values(dtype)))


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_arguments(name, dtype):
    assert_like_numpy(name, of_two(dtype)[name], TWO[name][1](*pairs(dtype)))


@pytest.mark.parametrize("dtype", DIGITS)
def test_the_hyperbolic_tangent_keeps_its_digits_near_zero(dtype):
    x = np.concatenate([10.0 ** np.arange(-30, 2.0), np.linspace(0.01, 0.03, 50)]).astype(dtype)
    found = compute(all_at_once({"tanh": tanh}, ("g",)), g=np.concatenate([x, -x]))["tanh"]
    np.testing.assert_allclose(found, np.tanh(np.concatenate([x, -x])), rtol={"float32": 2e-7, "float64": 1e-14}[dtype])


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("t", [1, 2, 3, 7, 40])
def test_functions_of_numbers_are_computed_in_double_precision(dtype, t):
    """What depends on t alone, on a single element: everything but the last product is in float64."""

    def scalar_of_numbers(g, out, t):
        finite = where(t <= 2, 0.5, 0.25 * t)
        powers = (-2.0) ** -t + t**0.5 + t**-3 + 0.9**t
        functions = exp(-t) + log(t) + tanh(t / 9) + sqrt(t) - abs(3 - t) + sign(3 - t)
        return g, (powers + functions + where(t > 3, maximum(t, 5), minimum(t, 2)) + finite) * g

    (_, expected) = scalar_of_numbers(1.0, 0.0, t)
    found = compute(rule(scalar_of_numbers), t=t, g=np.ones(1, dtype))["out"]
    np.testing.assert_allclose(found, [expected], rtol={"float32": 6e-8, "float64": 4e-15}[dtype])


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99, 0.999, 0.999999])
def test_bias_corrections_are_those_of_the_host(beta):
    """1 - βᵗ, whose digits a power's error would cost."""

    def corrected(g, out, t):
        return g, (1 - beta**t) * g

    for t in (1, 2, 10, 1000, 10**6):
        found = compute(rule(corrected), t=t, g=np.ones(1))["out"]
        np.testing.assert_allclose(found, [1 - beta**t], rtol=0, atol=4e-16)
