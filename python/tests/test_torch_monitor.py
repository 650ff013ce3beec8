"""`Monitor` on bowls of known curvature, whose thresholds are closed forms.

Not here: how it does on networks (scripts/monitor-study, results/2026-11-26-monitor).
"""

import math
import warnings
from typing import Any, List, Optional, Tuple

import pytest
import torch

import tauscope
from tauscope.torch import Delayed, InstabilityWarning, Monitor, Reading

CURVATURES = torch.tensor([3.0, 1.4, 0.9, 0.5, 0.2, 0.05], dtype=torch.float64)
RULES = [("sgd", 0.0), ("heavy-ball", 0.9), ("nesterov", 0.9)]


class Bowl:
    """A training in a bowl, turned at random so that no coordinate is a direction of curvature."""

    def __init__(self, lr: float, momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0, **process: Any) -> None:
        self.draw = torch.Generator().manual_seed(1)
        turn = torch.linalg.qr(torch.randn(6, 6, generator=self.draw, dtype=torch.float64))[0]
        self.hessian = turn @ torch.diag(CURVATURES) @ turn.T
        self.weights = (1e-3 * torch.randn(6, generator=self.draw, dtype=torch.float64)).requires_grad_()
        self.inner = torch.optim.SGD([self.weights], lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        self.optimizer = Delayed(self.inner, **process) if process else self.inner

    def loss(self) -> torch.Tensor:
        return self.weights @ self.hessian @ self.weights / 2

    def step(self, noise: float = 0.0) -> None:
        self.optimizer.zero_grad()
        self.loss().backward()
        self.weights.grad += noise * torch.randn(6, generator=self.draw, dtype=torch.float64)
        self.optimizer.step()


def watched(bowl: Bowl, steps: int, noise: float = 0.0, **monitor: Any) -> Tuple[List[Reading], List[float]]:
    """Readings of a training, and its loss after each step."""
    watch, readings, losses = Monitor(bowl.optimizer, **monitor), [], []
    for _ in range(steps):
        bowl.step(noise)
        reading = watch.step()
        losses.append(float(bowl.loss().detach()))
        if reading is not None:
            readings.append(reading)
    return readings, losses


def lr_at(share: float, rule: str, momentum: float, delay: int, schedule: Optional[str] = None) -> float:
    return share * float(tauscope.threshold(rule, delay, momentum=momentum, schedule=schedule)) / 3


@pytest.mark.parametrize("delay", [0, 1, 4, 16])
@pytest.mark.parametrize(("rule", "momentum"), RULES)
def test_gain_margin_and_growth_are_those_of_theory(rule: str, momentum: float, delay: int) -> None:
    for share in (0.9, 1.05):
        lr = lr_at(share, rule, momentum, delay)
        process = {"delay": delay} if delay else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            [*_, last] = watched(Bowl(lr, momentum, rule == "nesterov", **process), 200, noise=1e-6)[0]
        assert abs(last.gain - 3 * lr) < max(3 * last.error, 0.02 * 3 * lr)
        assert last.margin == pytest.approx(last.threshold_gain / last.gain) and last.threshold_gain == pytest.approx(3 * lr / share)
        assert last.unstable == (share > 1) == (last.growth > 0)
        assert last.growth == float(tauscope.growth(rule, delay, last.gain, momentum=momentum))


@pytest.mark.parametrize(("process", "schedule"), [({"delay": 4}, None), ({"delay": 3, "schedule": "random"}, "random")])
def test_a_training_above_its_threshold_is_warned_of_in_time_and_once(process: Any, schedule: Optional[str]) -> None:
    bowl = Bowl(lr_at(1.1, "heavy-ball", 0.9, process["delay"], schedule), 0.9, **process)
    with pytest.warns(InstabilityWarning, match="the loss is about to grow; a learning rate 1.[34] times smaller") as told:
        readings, losses = watched(bowl, 600, noise=1e-5)
    first = next(reading.step for reading in readings if reading.unstable)
    doubled = next(step for step, loss in enumerate(losses, 1) if loss > 2 * losses[0])
    assert first + 50 <= doubled and len(told) == 1


@pytest.mark.parametrize("noise", [0.0, 1e-3])
@pytest.mark.parametrize("process", [{}, {"delay": 4}, {"delay": 3, "schedule": "random"}, {"trace": [0, 2, 5, 1]}])
def test_a_training_below_its_threshold_is_not_warned_of(process: Any, noise: float) -> None:
    delays = {"trace": process["trace"]} if "trace" in process else {"delay": process.get("delay", 0)}
    largest = float(tauscope.threshold("sgd", **delays, schedule=process.get("schedule")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        readings, _ = watched(Bowl(0.8 * largest / 3, **process), 600, noise)
    assert len(readings) == 22 and not any(reading.unstable for reading in readings)
    assert readings[-1].threshold_gain == pytest.approx(largest, rel=0.03)
    if process.get("schedule") or "trace" in process:
        assert all(math.isnan(reading.growth) for reading in readings)


def adam_at(share: float, kind: Any, process: Any, **settings: Any) -> Tuple[Bowl, float]:
    """A bowl that Adam trains under noise until its second moments stand still; then the learning rate is a share of the threshold."""
    bowl = Bowl(1e-3)
    bowl.optimizer = bowl.inner = kind([bowl.weights], 1e-4, weight_decay=0.0, **settings)
    for _ in range(600):
        bowl.step(1e-3)
    largest = float(tauscope.threshold("heavy-ball", process.get("delay", 0), momentum=0.9, dampening="ema"))
    bowl.inner.param_groups[0]["lr"] = share * largest / under_second_moments(bowl)
    if process:
        bowl.optimizer = Delayed(bowl.inner, **process)
    return bowl, largest


def under_second_moments(bowl: Bowl) -> float:
    """The largest curvature under Adam's second moments as they stand, by dense eigenvalues."""
    [group], state = bowl.inner.param_groups, bowl.inner.state[bowl.weights]
    moments = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
    root = (moments.sqrt() + group["eps"]).rsqrt()
    return float(torch.linalg.eigvalsh(root[:, None] * bowl.hessian * root)[-1])


@pytest.mark.parametrize(("kind", "amsgrad"), [(torch.optim.Adam, False), (torch.optim.Adam, True), (torch.optim.AdamW, False)])
@pytest.mark.parametrize("process", [{}, {"delay": 1}, {"delay": 4}])
def test_the_gain_of_adam_is_that_under_its_second_moments(kind: Any, amsgrad: bool, process: Any) -> None:
    bowl, largest = adam_at(0.9, kind, process, amsgrad=amsgrad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [*_, last] = watched(bowl, 400, noise=1e-3)[0]
    gain = bowl.inner.param_groups[0]["lr"] * under_second_moments(bowl)
    assert abs(last.gain - gain) < max(3 * last.error, 0.03 * gain), (last, gain)
    assert last.threshold_gain == pytest.approx(largest) and last.growth < 0


def test_adam_above_its_threshold_is_told_that_it_jumps_and_not_that_its_loss_will_grow() -> None:
    bowl, _ = adam_at(1.2, torch.optim.AdamW, {"delay": 4}, betas=(0.9, 0.9999))
    with pytest.warns(InstabilityWarning, match="under the second moments .* Adam's bounded steps jump along it; a learning rate 1"):
        watched(bowl, 400, noise=1e-3)


def test_weight_decay_of_adam_is_in_the_gradient_and_that_of_adamw_is_not() -> None:
    """Both see the same gradients; only Adam's are steeper by its decay."""
    gains = []
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        weights = torch.ones(6, dtype=torch.float64, requires_grad=True)
        watch = Monitor(kind([weights], 0.1, betas=(0.0, 0.999), weight_decay=0.5), every=60)
        draw = torch.Generator().manual_seed(1)
        for _ in range(60):
            weights.grad = 3 * weights.detach()
            watch._optimizer.state[weights] = {"step": torch.tensor(1e9), "exp_avg_sq": torch.ones(6, dtype=torch.float64)}
            weights.data = torch.randn(6, generator=draw, dtype=torch.float64)
            reading = watch.step()
        assert reading is not None
        gains.append(reading.gain)
    assert gains == pytest.approx([0.35, 0.3], rel=1e-6)


def test_a_learning_rate_that_changes_and_weight_decay_are_in_the_margin() -> None:
    bowl = Bowl(0.2, decay=0.5)
    watch = Monitor(bowl.optimizer)
    for step in range(200):
        bowl.inner.param_groups[0]["lr"] = 0.2 if step < 150 else 0.4
        bowl.step(1e-3)
        watch.step()
    last = watch.latest
    assert last is not None and abs(last.gain - 0.4 * 3.5) < 2 * last.error
    assert last.margin == pytest.approx(2 / last.gain)


def test_readings_go_to_tensorboard_and_to_weights_and_biases() -> None:
    class Board:
        def __init__(self) -> None:
            self.told: List[Any] = []

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.told.append((name, value, step))

    class Run:
        def __init__(self) -> None:
            self.told: List[Any] = []

        def log(self, values: Any, step: int) -> None:
            self.told.append((values, step))

    board, run = Board(), Run()
    readings, _ = watched(Bowl(0.4), 100, 1e-3, writer=[board, run], tag="late", every=50)
    [reading] = readings
    names = ["late/gain", "late/margin", "late/growth"]
    values = [reading.gain, reading.margin, reading.growth]
    assert board.told == [(name, value, 100) for name, value in zip(names, values)]
    assert run.told == [(dict(zip(names, values)), 100)]


def test_steps_without_finite_gradients_and_frozen_parameters_are_passed_over() -> None:
    bowl, frozen = Bowl(0.4), torch.ones(3, requires_grad=False)
    bowl.inner.add_param_group({"params": [frozen, torch.ones(2, requires_grad=True)]})
    watch = Monitor(bowl.optimizer)
    for step in range(125):
        bowl.step(1e-3)
        if step % 25 == 3:
            bowl.weights.grad.fill_(math.inf)
        reading = watch.step()
    assert reading is not None and reading.gain == pytest.approx(1.2, rel=0.05)


def test_a_training_whose_gradients_are_finite_no_more_is_told_once() -> None:
    bowl = Bowl(0.1)
    watch, readings = Monitor(bowl.optimizer), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(200):
            bowl.step(1e-3)
            if step >= 110:
                bowl.weights.grad.fill_(math.nan)
            readings.append(watch.step())
    seen = [reading for reading in readings if reading is not None]
    assert [(reading.step, reading.unstable) for reading in seen] == [
        (75, False), (100, False), (125, False), (150, True), (175, True), (200, True)
    ]  # fmt: skip
    assert math.isnan(seen[-1].margin) and math.isnan(seen[-1].gain)
    assert [str(one.message) for one in caught] == ["step 150: no weight or gradient of the latest 25 updates is finite"]


def test_a_sparse_gradient_is_refused_by_its_shape() -> None:
    table = torch.nn.Embedding(5, 3, sparse=True)
    watch = Monitor(torch.optim.SGD(table.parameters(), 0.1))
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(TypeError, match=r"a sparse gradient, of a parameter of shape \(5, 3\); accepted: dense ones"):
        watch.step()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_weights_that_do_not_move_tell_nothing(precision: torch.dtype) -> None:
    weights = torch.ones(6, dtype=precision, requires_grad=True)
    watch = Monitor(torch.optim.SGD([weights], 0.1), every=100)
    for _ in range(100):
        weights.grad = torch.zeros_like(weights)
        reading = watch.step()
    assert reading is not None and math.isnan(reading.gain) and math.isnan(reading.margin) and not reading.unstable


def test_a_curvature_that_is_rounding_is_none() -> None:
    weights = torch.zeros(6, requires_grad=True)
    watch = Monitor(torch.optim.SGD([weights], 0.1, momentum=0.9), every=100)
    for _ in range(100):
        weights.grad = 1e-30 * weights.detach()
        weights.data += torch.randn(6)
        reading = watch.step()
    assert reading is not None and math.isnan(reading.margin) and math.isnan(reading.growth)


def monitored(**arguments: Any) -> Monitor:
    return Monitor(torch.optim.SGD([torch.ones(2, requires_grad=True)], 0.1), **arguments)


def test_what_cannot_be_watched_is_named() -> None:
    one, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    groups = torch.optim.SGD([{"params": [one]}, {"params": [other], "lr": 0.2}], 0.1)
    betas = torch.optim.Adam([{"params": [one]}, {"params": [other], "betas": (0.8, 0.99)}])
    for call, kind, told in [
        (lambda: Monitor(torch.optim.NAdam([one])), TypeError, "optimizer: NAdam; accepted: torch.optim.SGD, Adam or AdamW, also inside D"),
        (lambda: Monitor(torch.optim.Adam([one], maximize=True)), ValueError, "optimizer: Adam with maximize"),
        (lambda: Monitor(betas), ValueError, r"betas \(0.9, 0.999\) and \(0.8, 0.99\) in groups of one optimizer"),
        (lambda: Monitor(groups), ValueError, "lr 0.1 and 0.2 in groups of one optimizer; accepted: the same in all"),
        (lambda: Monitor(Delayed(torch.optim.SGD([one], 0.1), stages=[2])), ValueError, "Delayed with stages"),
        (lambda: Monitor(torch.optim.SGD([one], 0.1, maximize=True)), ValueError, "accepted: without maximize"),
        (lambda: Monitor(Delayed(torch.optim.SGD([one], 0.1), 2).optimizer), ValueError, "accepted: the Delayed"),
        (lambda: Monitor(Delayed(torch.optim.SGD([one], 0.1), 2, mixing=0.5)), ValueError, "Delayed with mixing or horizon"),
        (lambda: Monitor(torch.optim.SGD([torch.ones(2)], 0.1)), ValueError, "no parameters that require a gradient"),
        (lambda: monitored(every=0), ValueError, "every 0; accepted: a whole number from 1 on"),
        (lambda: monitored(coordinates=2.5), ValueError, "coordinates 2.5; accepted: a whole number from 4 on"),
        (lambda: monitored(writer=3), TypeError, "writer: int; accepted: an object with add_scalar or with log"),
        (lambda: monitored().step(), RuntimeError, "without gradients; accepted: after optimizer.step"),
    ]:
        with pytest.raises(kind, match=told) as raised:
            call()
        assert "\n" not in str(raised.value)
