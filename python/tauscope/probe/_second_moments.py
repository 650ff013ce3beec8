"""The scale by which adaptive optimizers of PyTorch divide each gradient, from their live state.

Not here: what curvature becomes under it (`tauscope.probe._torch`).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import torch


def _adam(group: Dict[str, Any], state: Dict[str, torch.Tensor]) -> torch.Tensor:
    # sqrt(v / (1 - beta2^t)) + eps
    second = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    correction: float = 1 - group["betas"][1] ** float(state["step"])
    return (second / correction).sqrt() + float(group["eps"])


def _adamax(group: Dict[str, Any], state: Dict[str, torch.Tensor]) -> torch.Tensor:
    return state["exp_inf"].clone()


def _rmsprop(group: Dict[str, Any], state: Dict[str, torch.Tensor]) -> torch.Tensor:
    second = state["square_avg"]
    if group.get("centered"):
        second = second - state["grad_avg"].square()
    return second.sqrt() + float(group["eps"])


def _adagrad(group: Dict[str, Any], state: Dict[str, torch.Tensor]) -> torch.Tensor:
    return state["sum"].sqrt() + float(group["eps"])


_SCALES: Dict[str, Callable[[Dict[str, Any], Dict[str, torch.Tensor]], torch.Tensor]] = {
    "Adagrad": _adagrad,
    "Adam": _adam,
    "AdamW": _adam,
    "Adamax": _adamax,
    "NAdam": _adam,
    "RMSprop": _rmsprop,
}


def unwrapped(optimizer: Any) -> Any:
    """The optimizer that `tauscope.torch.Delayed` wraps, or itself."""
    from tauscope.torch import Delayed

    return optimizer.optimizer if isinstance(optimizer, Delayed) else optimizer


def second_moment_scale(optimizer: Any, parameters: Dict[str, torch.Tensor]) -> List[torch.Tensor]:
    """The scale of each parameter, shaped as it is; positive."""
    optimizer = unwrapped(optimizer)
    name = type(optimizer).__name__
    if name not in _SCALES:
        raise TypeError(f"preconditioner: {name} has no second moments; accepted: {', '.join(_SCALES)}, or None")
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    scales = []
    for label, parameter in parameters.items():
        if id(parameter) not in groups:
            raise ValueError(f"preconditioner: parameter {label} is not among those of {name}; accepted: an optimizer of all")
        state = optimizer.state.get(parameter)
        if not state or float(state.get("step", 0)) == 0:
            raise ValueError(f"preconditioner: {name} has no second moment of {label}; accepted: after its first step")
        scale = _SCALES[name](groups[id(parameter)], state)
        if not bool((scale > 0).all()):
            raise ValueError(f"preconditioner: the scale of {label} is not positive everywhere; accepted: eps above 0")
        scales.append(scale)
    return scales
