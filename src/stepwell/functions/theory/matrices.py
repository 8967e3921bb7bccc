"""What the Hessian of a quadratic says: condition number, Gershgorin's discs, the diagonal preconditioner."""

from typing import Any, NamedTuple

import numpy as np

from stepwell.functions.given import square

ROUNDING = 1e-12
"""Relative to the largest entry: an asymmetry, or a distance from a disc, that is taken for rounding."""


def positive_definite(Q: Any) -> np.ndarray:
    """Q as a float64 array; a ValueError unless it is symmetric and its eigenvalues are all above 0."""
    matrix = square(Q)
    if np.abs(matrix - matrix.T).max() > ROUNDING * np.abs(matrix).max():
        raise ValueError(f"Q must be symmetric; got {Q!r}")
    n, scale = len(matrix), matrix.diagonal()
    definite = bool((scale > 0).all())
    if definite:  # in coordinates of equal size, so that units do not count as singular
        scaled = matrix / np.sqrt(scale) / np.sqrt(scale)[:, None]
        definite = bool(np.linalg.eigvalsh(scaled)[0] > n * np.finfo(np.float64).eps)
    if not definite:
        raise ValueError(f"Q must be positive definite; got the eigenvalue {np.linalg.eigvalsh(matrix)[0]:g}")
    return matrix


def condition_number(Q: Any) -> float:
    """κ = λmax/λmin of a symmetric positive definite matrix (n, n): how slow gradient descent on ½xᵀQx must be.

    At its best rate, η = 2/(λmax+λmin), the error falls by (κ-1)/(κ+1) a step. Infinite where rounding has hidden λmin.
    Nesterov (2004), section 2.1.5. <https://doi.org/10.1007/978-1-4419-8853-9>

    >>> condition_number([[0.2, 0.0], [0.0, 4.0]])
    20.0

    Errors: a ValueError where Q is not square, not symmetric or not positive definite; a TypeError where not real.
    """
    eigenvalues = np.linalg.eigvalsh(positive_definite(Q))
    return float(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > 0 else float("inf")


class Discs(NamedTuple):
    """Gershgorin's discs, in the complex plane: arrays of shape (n,)."""

    centres: np.ndarray
    radii: np.ndarray

    def contain(self, values: Any) -> np.ndarray:
        """Whether each value, real or complex, lies in one of the discs; of values' shape.

        A disc's edge belongs to it, with room for the rounding of the values.
        """
        distance = np.abs(np.asarray(values)[..., None] - self.centres)
        room = ROUNDING * np.max(np.abs(self.centres) + self.radii)
        return (distance <= self.radii + room).any(-1)


def gershgorin(Q: Any) -> Discs:
    """The discs about Qᵢᵢ of radius Σ_{j≠i}|Qᵢⱼ|, whose union holds every eigenvalue of Q, of shape (n, n).

    Gershgorin (1931). <https://www.mathnet.ru/eng/im5235>

    >>> discs = gershgorin([[2.0, 1.0], [0.5, 5.0]])
    >>> discs.centres, discs.radii
    (array([2., 5.]), array([1. , 0.5]))
    >>> discs.contain([1.8, 4.0])
    array([ True, False])

    Errors: a ValueError or TypeError where Q is not a square matrix of finite numbers.
    """
    matrix = square(Q)
    centres = matrix.diagonal().copy()
    return Discs(centres, np.abs(matrix - np.diag(centres)).sum(axis=1))


def precondition(Q: Any) -> np.ndarray:
    """diag(Q)^{-½} Q diag(Q)^{-½}: Q in coordinates scaled to curvature 1 each, the best that a rate per axis can do.

    Shape (n, n), with a unit diagonal: the identity where Q's axes are the coordinates'.
    Within a factor n it has the least condition number of all diagonal scalings: van der Sluis (1969).
    <https://doi.org/10.1007/BF02165096>

    >>> precondition([[0.2, 0.0], [0.0, 4.0]])
    array([[1., 0.],
           [0., 1.]])

    Errors: a ValueError where Q is not square, not symmetric or not positive definite; a TypeError where not real.
    """
    matrix = positive_definite(Q)
    scale = 1 / np.sqrt(matrix.diagonal())
    scaled = scale[:, None] * matrix * scale
    np.fill_diagonal(scaled, 1.0)
    return scaled
