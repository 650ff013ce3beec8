"""Curvature of the leading direction, from gradients and the weights that they were taken at.

Near a minimum a gradient is Hessian times displacement, so regressing a sequence of gradients on their weights gives the
curvature along the directions in which the weights move; the leading mode near its threshold moves the most of the steep ones.
Weights are known exactly and noise is in the gradients alone, so the regression has no bias from minibatches, and the delays
need not be known. Not here: what a curvature means for a training (`tauscope.torch._monitor`).
"""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

#: Directions that hold most of the movement from step to step, where oscillations are, and of that over the window, where
#: slow directions are. The second ones keep what is slow out of the curvature of the first ones.
_FAST, _SLOW = 2, 2

#: Size of a direction relative to the largest, below which it is rounding.
_ROUNDING = 1e-9

#: Imaginary part relative to the modulus that an eigenvalue of a Hessian may have by noise.
_REAL = 1e-3


def curvatures(weights: _Array, gradients: _Array) -> List[Tuple[float, float]]:
    """Curvatures and their standard errors, along the directions in which weights moved.

    Args:
        weights: Weights that each gradient was taken at, shape (steps, coordinates).
        gradients: Gradients there, in the same coordinates and of the same shape.
    """
    places = weights - weights.mean(0)
    moves = np.diff(weights, axis=0)
    basis = np.linalg.qr(np.column_stack([_leading(moves - moves.mean(0), _FAST), _leading(places, _SLOW)]))[0]
    known, seen = places @ basis, (gradients - gradients.mean(0)) @ basis
    size = np.sqrt((known**2).sum(0))
    if not size.max() > 0:
        return []
    kept = size > _ROUNDING * size.max()
    known, seen = known[:, kept], seen[:, kept]
    inverse = np.linalg.pinv(known.T @ known, rcond=1e-14)
    hessian = inverse @ known.T @ seen
    rest = seen - known @ hessian
    noise = rest.T @ rest / (len(known) - known.shape[1] - 1)
    values, right = np.linalg.eig(hessian)
    try:
        left = np.linalg.inv(right)
    except np.linalg.LinAlgError:
        return []
    found = []
    for index, value in enumerate(values):
        if abs(value.imag) <= _REAL * abs(value):
            row, column = left[index].real, right[:, index].real
            variance = float(row @ inverse @ row) * float(column @ noise @ column)
            found.append((float(value.real), max(variance, 0.0) ** 0.5))
    return found


def _leading(rows: _Array, count: int) -> Any:
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return vectors[:, ::-1][:, :count]
