"""`judge` beside trainings: a fifth or 5 % below the threshold they keep the minimum, and 5 % above it they leave it."""

import math
from typing import List

import pytest
import torch

from tauscope.probe import judge, sharpness
from tauscope.torch import Delayed

STEPS = 1000

CURVATURES = torch.tensor([3.0, 0.5, 1.5], dtype=torch.float64)


def objective(weights: torch.Tensor) -> torch.Tensor:
    return (CURVATURES * weights.square()).sum() / 2


def growth(lr: float, momentum: float, dampening: float, nesterov: bool, delay: int) -> float:
    """Largest distance from the minimum in the last 100 steps of a training with `Delayed`, over that of 400 steps before."""
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    inner = torch.optim.SGD([weights], lr, momentum=momentum, dampening=dampening, nesterov=nesterov)
    optimizer = Delayed(inner, delay)
    distances = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        objective(weights).backward()
        optimizer.step()
        distances.append(float(weights.detach().norm()))
    return max(distances[-100:]) / max(distances[-500:-400])


@pytest.mark.parametrize("delay", [0, 1, 4])
@pytest.mark.parametrize(
    ("rule", "momentum", "dampening"), [("sgd", 0.0, 0.0), ("heavy-ball", 0.9, 0.0), ("heavy-ball", 0.8, 0.8), ("nesterov", 0.9, 0.0)]
)
def test_the_verdict_is_that_of_the_training_itself(rule: str, momentum: float, dampening: float, delay: int) -> None:
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    probe = sharpness(lambda: objective(weights), weights)
    threshold = judge(probe, rule, 1.0, momentum, delay, dampening=dampening).lr_threshold
    for factor in (0.95, 1.05):
        lr = factor * threshold
        verdict = judge(probe, rule, lr, momentum, delay, dampening=dampening)
        grown = growth(lr, momentum, dampening, rule == "nesterov", delay)
        assert verdict.stable == (factor < 1) == (grown < 1) and verdict.certain
        assert verdict.margin == pytest.approx(1 / factor)
        assert verdict.gain == pytest.approx(lr * 3) and verdict.threshold_gain == pytest.approx(threshold * 3)
        for option in verdict.instead:
            assert growth(option.lr, option.momentum, option.dampening, option.rule == "nesterov", delay) < 0.5, option


def test_plain_sgd_has_the_closed_form_and_the_reason_is_a_sentence() -> None:
    verdict = judge(2.0, "sgd", 0.5, delay=4)
    assert verdict.threshold_gain == pytest.approx(2 * math.sin(math.pi / 18), rel=1e-12)
    assert verdict.why == (
        "unstable: lr 0.5 x curvature 2 = 1 is not below 0.3473, the threshold of sgd (no momentum) at delay 4"
    )
    assert repr(verdict).endswith("keeps it: sgd, lr 0.139>") and "<td>sgd</td>" in verdict._repr_html_()


def test_minibatches_and_random_delays_are_judged_in_mean_square() -> None:
    # At delay 0 sgd is stable in mean square iff gain (1 + r) < 2.
    assert judge(1.0, "sgd", 1.0, delay=0, relative_variance=3.0).threshold_gain == pytest.approx(0.5, rel=1e-6)
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    losses = [lambda s=s: s * objective(weights) for s in (0.5, 1.5)]
    probe = sharpness(losses, weights)
    assert judge(probe, "sgd", 0.1, delay=0).threshold_gain == pytest.approx(2 / 1.5, rel=1e-6)
    fixed, recorded = judge(1.0, "sgd", 0.1, delay=2), judge(1.0, "sgd", 0.1, trace=[0, 4, 2, 2])
    assert recorded.threshold_gain != pytest.approx(fixed.threshold_gain, rel=1e-3)
    assert recorded.why.endswith("under these delays")


def test_adam_is_judged_by_the_curvature_under_its_second_moments() -> None:
    """Oracle: Adam itself, at beta2 so near to 1 that the second moments stand still for the length of the training."""
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    inner = torch.optim.Adam([weights], 0.01, betas=(0.9, 1 - 1e-12))
    for _ in range(50):
        inner.zero_grad()
        objective(weights).backward()
        inner.step()
    probe = sharpness(lambda: objective(weights), weights, preconditioner=inner)
    threshold = judge(probe, "adam", 1.0, 0.9, 3).lr_threshold
    scale = (inner.state[weights]["exp_avg_sq"] / -math.expm1(50 * math.log1p(-1e-12))).sqrt()
    ends: List[float] = []
    for factor in (0.95, 1.05):
        # As Adam steps once its corrections are over: m = b1 m + (1 - b1) g; x -= lr m / scale, with late gradients.
        versions, moment = [torch.ones(3, dtype=torch.float64)], torch.zeros(3, dtype=torch.float64)
        for step in range(STEPS):
            moment = 0.9 * moment + 0.1 * CURVATURES * versions[max(0, step - 3)]
            versions.append(versions[-1] - factor * threshold * moment / scale)
        ends.append(float(versions[-1].norm()))
    assert ends[0] < 0.1 < 10 < ends[1]


def test_a_probe_that_did_not_converge_makes_no_verdict_certain() -> None:
    torch.manual_seed(0)
    weights = torch.randn(40, dtype=torch.float64, requires_grad=True)
    scales = torch.linspace(0.1, 2.0, 40, dtype=torch.float64)
    short, whole = (sharpness(lambda: (scales * weights**2).sum() / 2, weights, products=products) for products in (2, 200))
    assert not short.converged and whole.converged
    # Far below what the residual leaves open.
    assert [judge(probe, "sgd", 1e-6, delay=1).certain for probe in (short, whole)] == [False, True]


def test_what_cannot_be_judged_is_told_in_one_line() -> None:
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weights], 0.01)
    objective(weights).backward()
    adam.step()
    plain = sharpness(lambda: objective(weights), weights)
    under = sharpness(lambda: objective(weights), weights, preconditioner=adam)
    for probe, rule, arguments, part in [
        (plain, "adam", {"momentum": 0.9}, "accepted: sharpness(..., preconditioner=optimizer)"),
        (under, "sgd", {}, "preconditioned by Adam; accepted: one without"),
        (under, "adamw", {"momentum": 0.9, "dampening": 0.0}, "whose moments are averages; accepted: None"),
        (-1.0, "sgd", {}, "curvature -1.0; accepted: numbers above 0"),
        (float("nan"), "sgd", {}, "curvature nan; accepted"),
        (1.0, "sgd", {"lr": 0.0}, "lr 0.0; accepted: numbers above 0"),
        (1.0, "sdg", {}, "sdg"),
        (1.0, "sgd", {"delay": None}, "no delay; accepted"),
        (1.0, "heavy-ball", {"momentum": 1.0}, "momentum 1: accepted"),
        (1.0, "sgd", {"momentum": 0.9}, "momentum 0.9 with sgd, a rule without; accepted: 0, or 'heavy-ball'"),
        (plain, "sgd", {"momentum": 0.9, "delay": None, "stages": [1]}, "momentum 0.9 with sgd, a rule without"),
        (1.0, ["sgd"], {}, "rule ['sgd']; accepted: the name of one rule"),
        (1.0, "sgd", {"delay": [1, 2]}, "delay [1, 2]; accepted: a number of updates"),
        (1.0, "sgd", {"delay": None, "trace": [2, -1]}, "trace: delay -1 at place 1; accepted"),
    ]:
        with pytest.raises((ValueError, TypeError)) as refused:
            judge(probe, rule, **{"lr": 0.1, "delay": 1, **arguments})
        assert part in str(refused.value) and "\n" not in str(refused.value), str(refused.value)


def test_options_are_ranked_by_the_drift_of_their_own_rule():
    verdict = judge(2.0, "nesterov", lr=0.1, momentum=0.9, delay=3, dampening=0.9)
    by_rule = {option.rule: option for option in verdict.instead}
    assert by_rule["nesterov"].effective_lr == pytest.approx(1.9 * by_rule["nesterov"].lr)
    assert by_rule["sgd"].effective_lr == by_rule["sgd"].lr
    assert verdict.instead[0].effective_lr >= verdict.instead[1].effective_lr
