"""`Sharpness`: what a probe found, with its evidence. Not here: how it is found."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional


@dataclass(frozen=True)
class Sharpness:
    """Largest eigenvalues of a Hessian, largest first."""

    #: Largest eigenvalue: of the Hessian, in units of loss / weight^2, or of the preconditioned one.
    value: float
    #: Bound on the error of `value`: an eigenvalue is this near. Same units.
    residual: float
    #: Whether all residuals are within the tolerance.
    converged: bool
    #: Eigenvector of length 1 by parameter, shaped as they are. With a preconditioner P it is that of P^-1 H, scaled to
    #: v' P v = 1.
    vector: Dict[str, Any] = field(repr=False)
    #: Share of each group in the eigenvector's squared length (with a preconditioner in v' P v); they sum to 1.
    share: Dict[str, float]
    #: The k largest eigenvalues, their residuals, vectors and shares; the first of each stands above.
    values: List[float]
    residuals: List[float]
    vectors: List[Dict[str, Any]] = field(repr=False)
    shares: List[Dict[str, float]] = field(repr=False)
    #: Inner products of the k eigenvectors within each group, shape (k, k): with a preconditioner in v' P w. The shares are
    #: their diagonals.
    inner: Dict[str, Any] = field(repr=False)
    #: Variance over batches of the curvature v' H v of one batch along `vector`, with n - 1; None for a single batch.
    variance: Optional[float]
    #: Number of batches whose mean loss was probed.
    batches: int
    #: Products with the Hessian that were made, each over all batches.
    products: int
    #: Optimizer whose second moments preconditioned the Hessian; None without.
    preconditioner: Optional[str]

    @property
    def relative_variance(self) -> Optional[float]:
        """`variance` over `value` squared, as thresholds in mean square take it; None for a single batch, infinite or NaN without curvature."""
        if self.variance is None:
            return None
        square = self.value**2
        return self.variance / square if square else math.inf if self.variance else math.nan

    def __repr__(self) -> str:
        found = f"{self.value:.6g} +- {self.residual:.1g}"
        doubts = "" if self.converged else ", not converged"
        of = "Hessian" if self.preconditioner is None else f"Hessian preconditioned by {self.preconditioner}"
        spread = "" if self.relative_variance is None else f", relative variance {self.relative_variance:.3g}"
        top = sorted(self.share.items(), key=lambda item: -item[1])[:3]
        where = ", ".join(f"{name} {share:.0%}" for name, share in top)
        return f"<Sharpness of the {of}: {found}{doubts}, {self.batches} batches{spread}; mostly in {where}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{share:.1%}</td></tr>"
            for name, share in sorted(self.share.items(), key=lambda item: -item[1])
        )
        return f"<p>{html.escape(repr(self)[1:-1])}</p><table><tr><th>group</th><th>share</th></tr>{rows}</table>"
