"""What a monitor reads of an optimizer besides weights and gradients: its rule, and the scale that Adam divides gradients by.

Not here: readings (`tauscope.torch._monitor`).
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import numpy as np
import numpy.typing as npt
import torch

#: What decides the threshold, in a parameter group of SGD and of Adam.
_SETTINGS = {"SGD": ("lr", "momentum", "dampening", "nesterov"), "Adam": ("lr", "betas"), "AdamW": ("lr", "betas")}

#: A parameter, places in it, and its group.
Place = Tuple[torch.Tensor, torch.Tensor, Dict[str, Any]]


def check(inner: torch.optim.Optimizer) -> None:
    """Refuses optimizers whose threshold is not known."""
    name = type(inner).__name__
    if type(inner) not in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        raise TypeError(f"optimizer: {name}; accepted: torch.optim.SGD, Adam or AdamW, also inside Delayed")
    if any(group.get("maximize") for group in inner.param_groups):
        raise ValueError(f"optimizer: {name} with maximize, which climbs; accepted: without maximize")


def is_adam(inner: torch.optim.Optimizer) -> bool:
    """Whether gradients are divided by second moments."""
    return type(inner) is not torch.optim.SGD


def settings(inner: torch.optim.Optimizer) -> Dict[str, Any]:
    """Those of all parameter groups, which have to be one: lr, rule, momentum and dampening."""
    first = inner.param_groups[0]
    for group in inner.param_groups:
        for name in _SETTINGS[type(inner).__name__]:
            if group[name] != first[name]:
                raise ValueError(f"{name} {first[name]} and {group[name]} in groups of one optimizer; accepted: the same in all")
    lr = float(first["lr"])
    if is_adam(inner):
        # Where second moments stand still it is a heavy ball whose velocity is an average.
        momentum = float(first["betas"][0])
        return {"lr": lr, "rule": "heavy-ball" if momentum else "sgd", "momentum": momentum, "dampening": momentum}
    momentum = float(first["momentum"])
    rule = "sgd" if not momentum else "nesterov" if first["nesterov"] else "heavy-ball"
    return {"lr": lr, "rule": rule, "momentum": momentum, "dampening": float(first["dampening"]) if momentum else 0.0}


def is_decay_in_gradient(inner: torch.optim.Optimizer, group: Dict[str, Any]) -> bool:
    """Whether weight decay is part of the gradient; else it shrinks the weights beside it."""
    return bool(group["weight_decay"]) and type(inner) is not torch.optim.AdamW and not group.get("decoupled_weight_decay")


def second_moments(inner: torch.optim.Optimizer, places: List[Place]) -> List[torch.Tensor]:
    """Second moments at some places as they stand in Adam's state; zeros where a parameter had no gradient yet."""
    found = []
    for parameter, place, group in places:
        state = inner.state.get(parameter) or {}
        moments = state.get("max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq")
        found.append(torch.zeros_like(place, dtype=parameter.dtype) if moments is None else torch.take(moments, place))
    return found


def root_scales(inner: torch.optim.Optimizer, places: List[Place], moments: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Root of the scale that gradients were divided by at each place, as a window of steps saw it.

    Its inverse square is the mean over the window of the inverse scale `1 / (sqrt(v / (1 - beta2^t)) + eps)`.

    Args:
        inner: Adam or AdamW after the last step of the window.
        places: Places, as many as columns.
        moments: Second moments after each step, shape (steps, places).
    """
    steps, columns, start = np.arange(1 - len(moments), 1), [], 0
    for parameter, place, group in places:
        own = moments[:, start : start + len(place)]
        start += len(place)
        count = np.maximum(float((inner.state.get(parameter) or {}).get("step", 1)) + steps, 1)
        beta = float(group["betas"][1])
        correction = -np.expm1(count * math.log(beta)) if beta else np.ones(len(count))
        columns.append(1 / (np.sqrt(own / correction[:, None]) + max(float(group["eps"]), 1e-30)))
    inverse: npt.NDArray[np.float64] = np.concatenate(columns, axis=1)
    return np.asarray(inverse.mean(0) ** -0.5)
