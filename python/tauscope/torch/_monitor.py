"""`Monitor`: says during a training how far it is from its threshold, without a Hessian.

Not here: how curvature is had from gradients (`tauscope.torch._curvature`), thresholds (`tauscope.threshold`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch

import tauscope
from tauscope.torch import _watched
from tauscope.torch._curvature import curvatures
from tauscope.torch._delayed import Delayed, is_wrapped

#: Lengths of the windows that are looked at, in updates: a short one sees changes early, a long one sees through noise.
_WINDOWS = (60, 200)

#: A training counts as unstable where the gain less its standard error is above this part of the threshold in so many
#: readings, one after the other. Measured (results/2026-11-26-monitor).
_UNSTABLE, _IN_A_ROW = 0.97, 2

#: Largest standard error, in thresholds, that a gain is believed with.
_BELIEVED = 0.2

#: Smallest gain, in thresholds, that is more than rounding.
_VISIBLE = 1e-6

#: Most parameters that coordinates are taken of: each costs some calls a step.
_PARAMETERS = 24

#: Delays that are drawn where only their frequencies give a threshold.
_DRAWN = 20_000


class InstabilityWarning(RuntimeWarning):
    """A training is at its threshold or above: its loss is about to grow, or with Adam its steps keep jumping along a direction."""


@dataclass(frozen=True)
class Reading:
    """What a monitor saw over the latest updates. NaN where no direction stands out of the noise."""

    #: Number of updates seen.
    step: int
    #: Learning rate times curvature of the leading direction, with Adam under its second moments, and its standard error.
    #: No units.
    gain: float
    error: float
    #: Largest stable gain under the rule and the delays of the training.
    threshold_gain: float
    #: How many times larger the learning rate could be; below 1 the training leaves.
    margin: float
    #: Growth rate of the leading mode per update, as `tauscope.growth` has it: above 0 it leaves. NaN where delays vary.
    growth: float
    #: Whether the training is at its threshold, as far as the noise lets it be known: in two readings one after the other.
    #: Also where no weight or gradient of the updates since the latest reading was finite; the other numbers are NaN then.
    unstable: bool


class Monitor:
    """Watches a training, also under `Delayed`: margin to the threshold, and a warning before the loss blows up.

    Reads a few dozen coordinates of the weights and of the gradients at every update, and every so many updates what
    curvature they tell. Costs no pass through the network. Is not saved with a training: after a restart it looks anew.

    With Adam the curvature is that under the second moments of the window, the one that `sharpness(..., preconditioner=)` probes. There a
    warning says that a direction no longer converges, and not that the loss will grow: second moments follow the gradients, and steps
    stay bounded.

    Args:
        optimizer: A `torch.optim.SGD`, with any momentum, dampening and Nesterov, Adam or AdamW, or a `Delayed` one without stages. All
            its parameter groups have the same of these and the same learning rate, which may change.
        every: Updates from one reading to the next.
        coordinates: Number of weights that are read, at random places; fixed from then on, so that parameters which are unfrozen or
            added later are not watched.
        writer: Where readings go as well: an object with `add_scalar` (TensorBoard's SummaryWriter) or with `log` (a run of
            Weights & Biases), or several in a list.
        tag: What their names begin with there.
        seed: Seed of the places.

    Raises:
        TypeError, ValueError: An optimizer whose threshold is not known, or an argument out of its range.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        every: int = 25,
        coordinates: int = 48,
        writer: Any = None,
        tag: str = "tauscope",
        seed: int = 0,
    ) -> None:
        for name, number, least in (("every", every, 1), ("coordinates", coordinates, 4)):
            if isinstance(number, bool) or not hasattr(number, "__index__") or number < least:
                raise ValueError(f"{name} {number!r}; accepted: a whole number from {least} on")
        inner = optimizer.optimizer if isinstance(optimizer, Delayed) else optimizer
        _watched.check(inner)
        if inner is optimizer and is_wrapped(inner):
            kind = type(inner).__name__
            raise ValueError(f"optimizer: {kind} that a Delayed has inside; accepted: the Delayed, whose delays count")
        self._adam = _watched.is_adam(inner)
        self._optimizer: torch.optim.Optimizer = inner
        self._threshold = _Threshold(optimizer)
        self._writers = _writers(writer)
        self._tag = tag
        self._every = every
        self._places = _places(inner, coordinates, seed)
        self._threshold.of(_watched.settings(inner))
        self._rows: List[torch.Tensor] = []
        #: Weights, gradients, and Adam's second moments, at each update.
        self._seen = np.zeros((0, 3 if self._adam else 2, sum(len(place) for _, place, _ in self._places)))
        self._next = self._weights()
        self._steps = 0
        self._in_a_row = 0
        self.latest: Optional[Reading] = None

    @torch.no_grad()
    def step(self) -> Optional[Reading]:
        """Takes an update in. Call it after `optimizer.step()` and before `zero_grad()`.

        Returns:
            A reading every so many updates, from 60 on; None else.

        Raises:
            TypeError: A sparse gradient.
            RuntimeError: No gradients, or none but zeros while the weights move, as after `zero_grad()`.
        """
        gradients = self._gradients()
        moments = [self._joined(_watched.second_moments(self._optimizer, self._places))] if self._adam else []
        self._rows.append(torch.stack([self._next, gradients, *moments]))
        self._next = self._weights()
        self._steps += 1
        if self._steps % self._every:
            return None
        rows = torch.stack(self._rows).double().cpu().numpy()
        self._rows.clear()
        if not rows[:, 1].any() and (rows[1:, 0] != rows[:-1, 0]).any():
            raise RuntimeError("gradients of zero while the weights move; accepted: Monitor.step() before zero_grad()")
        # A step that a scaler of mixed precision skipped has no finite gradient and is no update.
        rows = rows[np.isfinite(rows).all((1, 2))]
        if not len(rows):
            reading = Reading(self._steps, math.nan, math.nan, self._threshold.of(_watched.settings(self._optimizer)), math.nan, math.nan, True)
            self._tell(reading)
            return reading
        self._seen = np.concatenate([self._seen, rows])[-max(_WINDOWS) :]
        if len(self._seen) < min(_WINDOWS):
            return None
        reading = self._read()
        self._tell(reading)
        return reading

    def _read(self) -> Reading:
        settings = _watched.settings(self._optimizer)
        largest, lr = self._threshold.of(settings), settings["lr"]
        found = [
            (lr * value, lr * error)
            for window in _WINDOWS
            if window <= len(self._seen)
            for value, error in self._curvatures(window)
            if lr * error < _BELIEVED * largest
        ]
        gain, error = max(found, key=lambda pair: pair[0] - pair[1], default=(math.nan, math.nan))
        known = gain > _VISIBLE * largest
        self._in_a_row = self._in_a_row + 1 if gain - error > _UNSTABLE * largest else 0
        return Reading(
            step=self._steps,
            gain=gain,
            error=error,
            threshold_gain=largest,
            margin=largest / gain if known else math.nan,
            growth=self._threshold.growth(settings, gain) if known else math.nan,
            unstable=self._in_a_row >= _IN_A_ROW,
        )

    def _curvatures(self, window: int) -> List[Tuple[float, float]]:
        weights, gradients = self._seen[-window:, 0], self._seen[-window:, 1]
        if not self._adam:
            return curvatures(weights, gradients)
        # Under the root of the scale P the Hessian is P^-1/2 H P^-1/2.
        root = _watched.root_scales(self._optimizer, self._places, self._seen[-window:, 2])
        return curvatures(weights * root, gradients / root)

    def _tell(self, reading: Reading) -> None:
        numbers = {name: getattr(reading, name) for name in ("gain", "margin", "growth")}
        numbers = {f"{self._tag}/{name}": number for name, number in numbers.items() if math.isfinite(number)}
        for writer in self._writers:
            if hasattr(writer, "add_scalar"):
                for name, number in numbers.items():
                    writer.add_scalar(name, number, reading.step)
            elif numbers:
                writer.log(numbers, step=reading.step)
        before, self.latest = self.latest, reading
        is_lost = math.isnan(reading.gain)
        if reading.unstable and is_lost and not (before is not None and before.unstable and math.isnan(before.gain)):
            warnings.warn(
                f"step {reading.step}: no weight or gradient of the latest {self._every} updates is finite", InstabilityWarning, stacklevel=3
            )
        elif reading.unstable and not is_lost and not (before is not None and before.unstable):
            under, follows = "", "the loss is about to grow"
            if self._adam:
                under, follows = " under the second moments", "a direction no longer converges, and Adam's bounded steps jump along it"
            warnings.warn(
                f"step {reading.step}: learning rate times curvature{under} is {reading.gain:.4g} +- {reading.error:.1g}, and "
                f"{reading.threshold_gain:.4g} is the threshold; {follows}; a learning rate "
                f"{max(1.25 / reading.margin, 1.25):.2g} times smaller would be stable",
                InstabilityWarning,
                stacklevel=3,
            )

    def _weights(self) -> torch.Tensor:
        return self._joined([torch.take(parameter.detach(), place) for parameter, place, _ in self._places])

    def _gradients(self) -> torch.Tensor:
        """Gradients as the optimizer takes them, with weight decay where it is part of them."""
        if all(parameter.grad is None for parameter, _, _ in self._places):
            raise RuntimeError("Monitor.step without gradients; accepted: after optimizer.step() and before zero_grad()")
        parts, start = [], 0
        for parameter, place, group in self._places:
            if parameter.grad is not None and parameter.grad.is_sparse:
                shape = tuple(parameter.shape)
                raise TypeError(f"a sparse gradient, of a parameter of shape {shape}; accepted: dense ones, as with Embedding(sparse=False)")
            part = torch.zeros(len(place)) if parameter.grad is None else torch.take(parameter.grad.detach(), place)
            if _watched.is_decay_in_gradient(self._optimizer, group):
                part = part + group["weight_decay"] * self._next[start : start + len(place)].to(part.device)
            parts.append(part)
            start += len(place)
        return self._joined(parts)

    def _joined(self, parts: List[torch.Tensor]) -> torch.Tensor:
        device = self._places[0][0].device
        wide = torch.float64 if any(part.dtype == torch.float64 for part in parts) else torch.float32
        return torch.cat([part.to(device, wide) for part in parts])


class _Threshold:
    """Thresholds under the delays of an optimizer."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._delay: Optional[int] = 0
        self._process: Dict[str, Any] = {}
        self._known: Dict[Tuple[Any, ...], float] = {}
        if isinstance(optimizer, Delayed):
            process = optimizer.process
            if process is None:
                raise ValueError("optimizer: Delayed with stages, whose threshold is not known; accepted: one delay for all")
            if optimizer.remedy:
                raise ValueError("optimizer: Delayed with mixing or horizon; accepted: late gradients that are added as they are")
            self._delay = process.slots - 1
            if process.schedule == "random":
                self._process = {"schedule": "random"}
            elif process.schedule != "round-robin":
                counts = np.bincount(process.restart().take(_DRAWN)[2])
                self._delay, self._process = None, {"pmf": counts / counts.sum()}

    def of(self, settings: Dict[str, Any]) -> float:
        """Largest stable gain with these settings of the optimizer."""
        key = (settings["rule"], settings["momentum"], settings["dampening"])
        if key not in self._known:
            rule, momentum, dampening = key
            numbers: Dict[str, Any] = {"momentum": momentum, "dampening": dampening, **self._process}
            self._known[key] = float(tauscope.threshold(rule, self._delay, **numbers))
        return self._known[key]

    def growth(self, settings: Dict[str, Any], gain: float) -> float:
        """Growth rate per update at a gain; NaN where the delays vary."""
        if self._process:
            return math.nan
        numbers = {"momentum": settings["momentum"], "dampening": settings["dampening"]}
        return float(tauscope.growth(settings["rule"], self._delay or 0, gain, **numbers))


def _places(
    optimizer: torch.optim.Optimizer, coordinates: int, seed: int
) -> List[Tuple[torch.Tensor, torch.Tensor, Dict[str, Any]]]:
    """Parameters, places in them and their groups: as many places in each, so that small layers are seen."""
    trained = [(p, group) for group in optimizer.param_groups for p in group["params"] if p.requires_grad and p.numel()]
    if not trained:
        raise ValueError("optimizer: no parameters that require a gradient; accepted: at least one")
    count = min(len(trained), _PARAMETERS, coordinates)
    chosen = [trained[index * len(trained) // count] for index in range(count)]
    generator = torch.Generator().manual_seed(seed)
    places = []
    for left, (parameter, group) in zip(range(count, 0, -1), chosen):
        share = min(parameter.numel(), -(-(coordinates - sum(len(place) for _, place, _ in places)) // left))
        # Places may fall together in a small share of cases, which takes nothing from the rest.
        drawn = (
            torch.randperm(parameter.numel(), generator=generator)[:share]
            if parameter.numel() < 4 * share
            else torch.randint(parameter.numel(), (share,), generator=generator)
        )
        places.append((parameter, drawn.to(parameter.device), group))
    return places


def _writers(writer: Any) -> List[Any]:
    writers = list(writer) if isinstance(writer, Sequence) else [] if writer is None else [writer]
    for one in writers:
        if not (hasattr(one, "add_scalar") or hasattr(one, "log")):
            raise TypeError(f"writer: {type(one).__name__}; accepted: an object with add_scalar or with log, or several in a list")
    return writers
