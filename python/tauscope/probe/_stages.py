"""Thresholds of a pipeline from the eigenpairs that a probe found.

Not here: Hessians that are whole (`tauscope.stage_threshold`), and verdicts (`tauscope.probe.judge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, List, Tuple, Union

import numpy as np

import tauscope
from tauscope.probe._result import Sharpness

#: What thresholds of a whole Hessian were at least and at most, over `Limit.lr` and over `Limit.found`: a tenth below and a
#: third above on random Hessians (python/tests/test_probe_stages.py).
_LOW, _HIGH = 0.9, 1.35

Delays = Union[Sequence[int], Mapping[str, int]]
Rates = Union[str, Sequence[float], None]


@dataclass(frozen=True)
class Limit:
    """Largest stable learning rate of a pipeline, as far as k eigenpairs tell it."""

    #: The smaller one of `found` and of what the smallest eigenvalue that was found would leave if its eigenvector lay
    #: wholly in the latest stage: what was not found has no larger one.
    lr: float
    #: Threshold of the Hessian that has the k eigenpairs and is zero elsewhere.
    found: float
    #: Bound for every Hessian of this largest eigenvalue: all of it in the stage that tolerates least.
    least: float

    def is_certain(self, lr: float) -> bool:
        """Whether a verdict on a learning rate does not depend on what was not found."""
        return lr < max(_LOW * self.lr, self.least) or lr > _HIGH * self.found


def delays_of(probe: Any, stages: Delays) -> Tuple[List[str], List[int]]:
    """Names of the stages in the order of the probe's groups, and their delays in updates."""
    if not isinstance(probe, Sharpness):
        raise TypeError("stages beside a bare curvature; accepted: what sharpness(..., groups=stages) found")
    names = list(probe.share)
    if isinstance(stages, Mapping):
        if set(stages) != set(names):
            raise ValueError(f"stages {', '.join(map(str, stages))}; accepted: the groups of the probe, {', '.join(names)}")
        stages = [stages[name] for name in names]
    if isinstance(stages, str) or not hasattr(stages, "__len__") or len(stages) != len(names):
        raise ValueError(f"stages {stages!r}; accepted: a delay for each group of the probe, {', '.join(names)}")
    for delay in stages:
        if isinstance(delay, bool) or not hasattr(delay, "__index__") or delay < 0:
            raise ValueError(f"stages: delay {delay!r}; accepted: whole numbers of updates from 0 on")
    return names, [int(delay) for delay in stages]


def factors_of(stage_lr: Rates, delays: Sequence[int]) -> List[float]:
    """What each stage's learning rate is multiplied by."""
    if stage_lr is None:
        return [1.0] * len(delays)
    if isinstance(stage_lr, str):
        if stage_lr != "inverse-delay":
            raise ValueError(f"stage_lr {stage_lr!r}; accepted: 'inverse-delay', or a factor for each stage")
        return [1 / (delay + 1) for delay in delays]
    factors = [float(factor) for factor in stage_lr]
    if len(factors) != len(delays) or not all(0 < factor < float("inf") for factor in factors):
        raise ValueError(f"stage_lr {list(stage_lr)!r}; accepted: a factor above 0 for each of {len(delays)} stages, or 'inverse-delay'")
    return factors


def limit(
    probe: Sharpness, names: Sequence[str], delays: Sequence[int], factors: Sequence[float], rule: str, momentum: float, dampening: float
) -> Limit:
    """Threshold of the learning rate that the factors multiply.

    The k eigenvectors span in each stage at most k directions. In these the Hessian of the k eigenpairs is a small matrix,
    whose threshold is exact (`tauscope.stage_threshold`).
    """
    values = np.asarray(probe.values)
    positive = values > 0
    if not positive.any():
        raise ValueError(f"curvature {values[0]}; accepted: numbers above 0, for others bound no learning rate")
    parts, sizes = [], []
    for name in names:
        weights, turns = np.linalg.eigh(probe.inner[name])
        kept = weights > 1e-14
        # A stage without a share still has a coordinate, which is all zeros.
        part = np.sqrt(weights[kept])[:, None] * turns[:, kept].T if kept.any() else np.zeros((1, len(values)))
        parts.append(part[:, positive])
        sizes.append(len(part))
    places = np.concatenate(parts)
    hessian = (places * values[positive]) @ places.T
    numbers: Any = {"momentum": momentum, "dampening": dampening}
    found = tauscope.stage_threshold(rule, delays, hessian=(hessian + hessian.T) / 2, sizes=sizes, lr_factors=factors, **numbers)
    worst = min(
        float(tauscope.threshold(rule, delay, **numbers)) / factor for delay, factor in zip(delays, factors)
    )
    return Limit(lr=min(found, worst / float(values[positive][-1])), found=found, least=worst / float(values[0]))
