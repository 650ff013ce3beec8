"""Verdicts on pipelines: beside thresholds of whole Hessians, and beside trainings whose parameter groups are late by delays of their own."""

from typing import Any, Dict, List

import numpy as np
import pytest
import torch

import tauscope
from tauscope.probe import Sharpness, judge, sharpness
from tauscope.probe._stages import limit
from tauscope.torch import Delayed

DELAYS = [3, 2, 1, 0]
NAMES = ["a", "b", "c", "d"]
STAGES = {name: [name] for name in NAMES}


def bowl(seed: int, spread: float = 1.0, dimension: int = 3) -> torch.Tensor:
    """A Hessian of random directions and curvatures from 1 down."""
    draw = torch.Generator().manual_seed(seed)
    size = len(NAMES) * dimension
    scale = torch.exp(spread * torch.randn(size, generator=draw, dtype=torch.float64))
    turn = torch.linalg.qr(scale[:, None] * torch.randn(size, size, generator=draw, dtype=torch.float64))[0]
    curvatures = torch.exp(-1.5 * torch.empty(size, dtype=torch.float64).exponential_(generator=draw))
    return turn @ torch.diag(curvatures / curvatures.max()) @ turn.T


class Pipeline:
    def __init__(self, hessian: torch.Tensor, start: float = 0.0) -> None:
        size = len(hessian) // len(NAMES)
        self.hessian = hessian
        self.weights = {name: torch.full((size,), start, dtype=torch.float64, requires_grad=True) for name in NAMES}

    def loss(self) -> torch.Tensor:
        whole = torch.cat(list(self.weights.values()))
        return whole @ self.hessian @ whole / 2

    def probe(self, k: int, preconditioner: Any = None) -> Sharpness:
        return sharpness(self.loss, self.weights, k=k, groups=STAGES, tolerance=1e-9, preconditioner=preconditioner)


@pytest.mark.parametrize("stage_lr", [None, "inverse-delay"])
@pytest.mark.parametrize(("rule", "momentum"), [("sgd", 0.0), ("heavy-ball", 0.9), ("nesterov", 0.9)])
def test_all_eigenpairs_give_the_threshold_of_the_whole_hessian(rule: str, momentum: float, stage_lr: Any) -> None:
    pipeline = Pipeline(bowl(1))
    factors = None if stage_lr is None else [1 / (delay + 1) for delay in DELAYS]
    exact = tauscope.stage_threshold(rule, DELAYS, hessian=pipeline.hessian.numpy(), momentum=momentum, lr_factors=factors)
    verdict = judge(pipeline.probe(12), rule, 0.5 * exact, momentum, stages=DELAYS, stage_lr=stage_lr)
    assert verdict.lr_threshold == pytest.approx(exact, rel=1e-6) and verdict.margin == pytest.approx(2, rel=1e-6)
    assert verdict.stable and verdict.certain
    by_name = judge(pipeline.probe(12), rule, 0.5 * exact, momentum, stages=dict(zip(NAMES, DELAYS)), stage_lr=stage_lr)
    assert by_name.lr_threshold == pytest.approx(verdict.lr_threshold, rel=1e-9)


def farthest(pipeline: Pipeline, lr: float, momentum: float, rates: List[float]) -> float:
    """Distance from the minimum at the end of a training, over that in its middle."""
    groups: List[Dict[str, Any]] = [{"params": [w], "lr": lr * rate} for w, rate in zip(pipeline.weights.values(), rates)]
    optimizer = Delayed(torch.optim.SGD(groups, lr, momentum=momentum), stages=DELAYS)
    sizes = []
    for _ in range(1200):
        optimizer.zero_grad()
        pipeline.loss().backward()
        optimizer.step()
        sizes.append(float(torch.cat(list(pipeline.weights.values())).detach().norm()))
    return max(sizes[-100:]) / max(sizes[500:600])


@pytest.mark.parametrize("stage_lr", [None, "inverse-delay"])
def test_the_verdict_is_that_of_a_training_with_late_stages_and_what_is_proposed_is_stable(stage_lr: Any) -> None:
    hessian = bowl(2)
    rates = [1.0] * 4 if stage_lr is None else [1 / (delay + 1) for delay in DELAYS]
    probe = Pipeline(hessian).probe(12)
    verdict = judge(probe, "heavy-ball", 1.0, 0.9, stages=DELAYS, stage_lr=stage_lr)
    for factor in (0.95, 1.05):
        grown = farthest(Pipeline(hessian, 1.0), factor * verdict.lr_threshold, 0.9, rates)
        assert (grown < 1) == (factor < 1), grown
    for option in verdict.instead:
        assert farthest(Pipeline(hessian, 1.0), option.lr, option.momentum, option.stage_lr or [1.0] * 4) < 1, option


def test_few_eigenpairs_are_cautious_and_certain_verdicts_are_right() -> None:
    """Oracle: the threshold of the whole Hessian. One eigenvalue bounds it, three and six come near."""
    near: Dict[int, List[float]] = {1: [], 3: [], 6: []}
    for seed in range(14):
        pipeline, (rule, momentum) = Pipeline(bowl(seed, spread=1.5 * (seed % 2))), [("sgd", 0.0), ("heavy-ball", 0.9)][seed // 2 % 2]
        exact = tauscope.stage_threshold(rule, DELAYS, hessian=pipeline.hessian.numpy(), momentum=momentum)
        for k, shares in near.items():
            probe = pipeline.probe(k)
            verdict = judge(probe, rule, 1.0, momentum, stages=DELAYS)
            shares.append(verdict.lr_threshold / exact)
            bounds = limit(probe, NAMES, DELAYS, [1.0] * 4, rule, momentum, 0.0)
            for lr in exact * np.array([0.5, 0.8, 0.99, 1.01, 1.25, 3.0]):
                assert not bounds.is_certain(lr) or (lr < bounds.lr or lr < bounds.least) == (lr < exact), (seed, k, lr / exact)
    assert max(near[1]) <= 1 + 1e-9 and max(near[3]) < 1.15 and max(near[6]) < 1.15
    assert min(near[3]) > 0.3 and np.median(near[3]) > 0.7 and np.median(near[6]) > 0.95


def test_adam_is_judged_by_stages_under_its_second_moments() -> None:
    pipeline = Pipeline(bowl(3), 1.0)
    adam = torch.optim.Adam(list(pipeline.weights.values()), 0.01)
    for _ in range(20):
        adam.zero_grad()
        pipeline.loss().backward()
        adam.step()
    scale = torch.cat([adam.state[w]["exp_avg_sq"].div(1 - 0.999**20).sqrt() + 1e-8 for w in pipeline.weights.values()])
    root = scale.rsqrt()
    exact = tauscope.stage_threshold(
        "heavy-ball", DELAYS, hessian=(root[:, None] * pipeline.hessian * root).numpy(), momentum=0.9, dampening="ema"
    )
    verdict = judge(pipeline.probe(12, preconditioner=adam), "adamw", exact, 0.9, stages=DELAYS)
    assert verdict.lr_threshold == pytest.approx(exact, rel=1e-5)
    assert "what stages late by 3, 2, 1, 0 tolerate with adamw" in verdict.why and "times 0.25, 0.333, 0.5, 1" in repr(verdict)


def test_stages_that_cannot_be_judged_are_told_in_one_line() -> None:
    probe = Pipeline(bowl(1)).probe(1)
    for given, arguments, part in [
        (probe, {"stages": [1, 0]}, "stages [1, 0]; accepted: a delay for each group of the probe, a, b, c, d"),
        (probe, {"stages": {"a": 1}}, "stages a; accepted: the groups of the probe, a, b, c, d"),
        (probe, {"stages": 3}, "stages 3; accepted: a delay for each group"),
        (probe, {"stages": [1, 0, 0, -1]}, "stages: delay -1; accepted: whole numbers"),
        (probe, {"stages": [1, 0, 0, 0.5]}, "stages: delay 0.5; accepted: whole numbers"),
        (probe, {"stages": DELAYS, "delay": 3}, "stages beside delay; accepted: one of them"),
        (probe, {"stages": DELAYS, "trace": [1]}, "stages beside trace; accepted: one of them"),
        (probe, {"stage_lr": [1.0]}, "stage_lr; accepted: stages beside it"),
        (probe, {"stages": DELAYS, "stage_lr": "half"}, "stage_lr 'half'; accepted: 'inverse-delay', or a factor"),
        (probe, {"stages": DELAYS, "stage_lr": [1.0, 0.0, 1.0, 1.0]}, "accepted: a factor above 0 for each of 4 stages"),
        (2.0, {"stages": DELAYS}, "stages beside a bare curvature; accepted: what sharpness"),
    ]:
        with pytest.raises((ValueError, TypeError)) as refused:
            judge(given, "sgd", 0.1, **arguments)  # type: ignore[arg-type]
        assert part in str(refused.value) and "\n" not in str(refused.value), str(refused.value)
