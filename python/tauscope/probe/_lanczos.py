"""Lanczos for the largest eigenvalues of a symmetric operator, with residuals.

Written with `@`, `-` and `*` and a `stack` that the operator brings, so that vectors may be PyTorch's or JAX's and stay on their device. A basis that
reaches its limit is replaced by its best Ritz vectors (thick restart; Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000).
Not here: operators, nor what their eigenvalues mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy as np

#: A new direction shorter than this, relative to the operator's norm so far, is rounding.
_ROUNDING = 1e-14

#: Vectors that are kept as the rows of one matrix: each pass over it reads memory once for all of them.
_TOGETHER = 8

#: Most Ritz vectors that a restart keeps beyond those that are asked for.
_KEPT = 10


@dataclass(frozen=True)
class Pairs:
    """Eigenvalues, largest first, with their vectors of length 1."""

    values: List[float]
    #: ||A v - value v||: an eigenvalue is within this of each value.
    residuals: List[float]
    vectors: List[Any]
    #: Largest absolute eigenvalue that was seen.
    scale: float
    #: Products with the operator that were made.
    products: int


def largest(
    apply: Callable[[Any], Any],
    random: Callable[[], Any],
    stack: Callable[[List[Any]], Any],
    dimension: int,
    k: int,
    tolerance: float,
    products: int,
    limit: int,
) -> Pairs:
    """The `k` largest eigenpairs of `apply`.

    Args:
        apply: The operator: a vector of length `dimension` to another.
        random: A new random vector.
        stack: Vectors to a matrix that has them as rows.
        dimension: Length of vectors.
        k: Number of pairs, at most `dimension`.
        tolerance: Largest residual, relative to the largest absolute eigenvalue seen.
        products: Most products with the operator, before those that take the final residuals.
        limit: Most vectors that are kept at a time; at least k + 2.
    """
    basis = _Basis(stack, [_unit(random(), [])])
    small = np.zeros((limit, limit))
    made, values, mixes = 0, np.zeros(0), np.zeros((0, 0))
    while True:
        last = len(basis) - 1
        image = apply(basis.last())
        made += 1
        rest = image
        column = np.zeros(last + 1)
        # Twice is enough (Parlett): what the first pass leaves is rounding.
        for _ in range(2):
            rest, parts = basis.without(rest)
            column += parts
        small[: last + 1, last] = small[last, : last + 1] = column
        length = float(rest @ rest) ** 0.5
        values, mixes = np.linalg.eigh(small[: last + 1, : last + 1])
        values, mixes = values[::-1], mixes[:, ::-1]
        scale = float(np.abs(values).max())
        wanted = min(k, len(values))
        residuals = length * np.abs(mixes[last, :wanted])
        whole = last + 1 == dimension
        if whole or made == products or (wanted == k and bool((residuals <= tolerance * scale).all())):
            break
        # Nothing new in the operator's image: it has further eigenvectors only outside what was seen.
        fresh = rest * (1 / length) if length > _ROUNDING * scale else _unit(random(), basis)
        if len(basis) == limit:
            kept = min(k + _KEPT, limit - 2)
            basis = _Basis(stack, [_mix(basis, mixes[:, index]) for index in range(kept)])
            small = np.zeros((limit, limit))
            small[range(kept), range(kept)] = values[:kept]
            fresh = _unit(fresh, basis)
        basis.append(fresh)
    vectors = [_unit(_mix(basis, mixes[:, index]), []) for index in range(min(k, len(values)))]
    # Once more, of the vectors that are handed out: residuals as they are, not as the recurrence has them.
    images = [apply(vector) for vector in vectors]
    found = [float(vector @ image) for vector, image in zip(vectors, images)]
    differences = [image - value * vector for vector, image, value in zip(vectors, images, found)]
    return Pairs(
        values=found,
        residuals=[float(difference @ difference) ** 0.5 for difference in differences],
        vectors=vectors,
        scale=scale,
        products=made + len(vectors),
    )


class _Basis:
    """Orthogonal vectors of length 1, most of them as rows of matrices."""

    def __init__(self, stack: Callable[[List[Any]], Any], vectors: Sequence[Any]) -> None:
        self._stack = stack
        self._matrices: List[Any] = []
        self._loose: List[Any] = []
        for vector in vectors:
            self.append(vector)

    def append(self, vector: Any) -> None:
        self._loose.append(vector)
        if len(self._loose) == _TOGETHER:
            self._matrices.append(self._stack(self._loose))
            self._loose = []

    def __len__(self) -> int:
        return _TOGETHER * len(self._matrices) + len(self._loose)

    def __iter__(self) -> Iterator[Any]:
        for matrix in self._matrices:
            for row in range(_TOGETHER):
                yield matrix[row]
        yield from self._loose

    def last(self) -> Any:
        return self._loose[-1] if self._loose else self._matrices[-1][_TOGETHER - 1]

    def without(self, vector: Any) -> Tuple[Any, List[float]]:
        """A vector less its parts along all of the basis, and these parts."""
        parts: List[float] = []
        for matrix in self._matrices:
            along = matrix @ vector
            vector = vector - along @ matrix
            parts.extend(along.tolist())
        for other in self._loose:
            parts.append(float(other @ vector))
            vector = vector - parts[-1] * other
        return vector, parts


def _mix(basis: _Basis, weights: Any) -> Any:
    total: Any = None
    for vector, weight in zip(basis, weights):
        total = vector * float(weight) if total is None else total + vector * float(weight)
    return total


def _unit(vector: Any, against: Any) -> Any:
    for _ in range(2):
        for other in against:
            vector = vector - float(other @ vector) * other
    return vector * (1 / float(vector @ vector) ** 0.5)
