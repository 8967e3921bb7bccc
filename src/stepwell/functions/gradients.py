"""Where derivatives come from when only a function is given: automatic differentiation, else central differences."""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
FIRST = EPSILON ** (1 / 3)
"""The step of a first central difference, in units of max(1, |x|), that balances h² against ε/h."""
SECOND = EPSILON ** (1 / 4)
"""The same for a difference of differences: h² against ε/h²."""
SAME = 1e-4
"""The share of its size by which a derivative may part from differences and still be the same one."""


def central_gradient(fun: Callable[[Any], float], x: Any, step: float = FIRST) -> Any:
    """∂f/∂xᵢ ≈ (f(x+hᵢeᵢ) - f(x-hᵢeᵢ)) / 2hᵢ with hᵢ = step·max(1, |xᵢ|), of x's shape; 2n evaluations.

    Nocedal & Wright (2006), section 8.1. <https://doi.org/10.1007/978-0-387-40065-5>

    >>> import numpy as np
    >>> float(central_gradient(lambda x: x**3, np.float64(2.0)).round(8))
    12.0
    """
    return central_jacobian(fun, x, step).reshape(np.shape(x))[()]


def central_jacobian(fun: Callable[[Any], Any], x: Any, step: float = FIRST) -> np.ndarray:
    """∂fun/∂xᵢ by central differences, shape (n, size of fun's values): one row for each coordinate of x."""
    x = np.asarray(x, np.float64)
    rows = []
    for i, here in enumerate(x.flat):
        ahead, behind = x.copy(), x.copy()
        h = step * max(1.0, abs(here))
        ahead.flat[i], behind.flat[i] = here + h, here - h
        width = ahead.flat[i] - behind.flat[i]
        rows.append(np.ravel(fun(ahead[()]) - np.asarray(fun(behind[()]))) / width)
    return np.array(rows)


def torch_derivative(order: int, fun: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    """The gradient (1) or Hessian (2) by `torch.func`, over float64 arrays; None where there is no PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    derivative = torch.func.grad(fun)
    if order == 2:
        derivative = torch.func.jacrev(derivative)

    def at(x: Any) -> Any:
        return derivative(torch.tensor(x, dtype=torch.float64)).detach().numpy()[()]

    return at


def attempt(derivative: Callable[[Any], Any], x: Any) -> Any:
    """A derivative by `torch_derivative` at x; None where it fails, warns or is not finite.

    A function in NumPy's vocabulary may run on tensors and lose their derivative on the way: PyTorch warns where one
    becomes a plain number, of itself only once in a process.
    """
    import torch

    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            found = derivative(x)
    except Exception:  # whatever a function may raise when it meets tensors
        return None
    finally:
        torch.set_warn_always(always)
    return found if np.isfinite(found).all() else None


def trusted(derivative: Callable[[Any], Any], reference: Callable[[Any], Any], x: Any, f: float) -> bool:
    """Whether `derivative` works and agrees with differences at x, where f is `f`, and at a point beside it."""
    points = (x, x + 0.01 * np.maximum(1, abs(x)))  # at x itself both may be 0
    return all(_agree(attempt(derivative, point), attempt(reference, point), abs(f)) for point in points)


def _agree(found: Any, expected: Any, size: float) -> bool:
    if found is None or expected is None or np.size(found) != np.size(expected):
        return False
    found, expected = np.ravel(found), np.ravel(expected)
    return bool(np.max(abs(found - expected)) <= SAME * max(1e-2, 1e-5 * size, np.max(abs(expected))))


def denied(g: Any, fun: Callable[[Any], float], x: Any) -> bool:
    """Whether differences of `fun` along one direction deny that g is its gradient at x; five evaluations.

    They are believed as far as those of two lengths agree, and as f is straight there: at a kink g may be the slope of
    one side. Outside f's domain there are none.
    """
    random = np.random.default_rng(0)
    lean = random.uniform(0.5, 1, np.shape(x)) * random.choice([-1.0, 1.0], np.shape(x))
    reach = FIRST * np.maximum(1, abs(x)) * lean
    try:
        here, ahead, behind, far, back = (fun(x + k * reach) for k in (0, 1, -1, 2, -2))
    except Exception:  # whatever a function may raise outside its domain
        return False
    near, wide, bend = (ahead - behind) / 2, (far - back) / 4, (ahead + behind) / 2 - here
    scale = max(float(np.sum(abs(g * reach))), float(np.max(abs(reach))) * max(1e-2, 1e-5 * abs(here)))
    return bool(abs(np.sum(g * reach) - near) > SAME * scale + abs(near - wide) + abs(bend))
