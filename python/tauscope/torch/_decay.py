"""Weight decay of late gradients: at which weights it is taken.

Not here: decoupled decay, which acts on the newest weights in every case.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Dict, Optional, Tuple

import torch

_ACCEPTED = ("newest", "read")

#: Optimizers that add `weight_decay` times the weights to the gradient, unless their groups say that it is decoupled.
_COUPLED = ("ASGD", "Adadelta", "Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")
_DECOUPLED = ("AdamW",)


def check_decay(decay_at: str, optimizer: torch.optim.Optimizer) -> None:
    """Refuses what `decay_at` cannot be for this optimizer."""
    if decay_at not in _ACCEPTED:
        raise ValueError(f"decay_at {decay_at!r}; accepted: 'newest', 'read'")
    name = type(optimizer).__name__
    known = type(optimizer).__module__.startswith("torch.optim") and name in _COUPLED + _DECOUPLED
    if decay_at == "read" and not known:
        names = ", ".join(_COUPLED + _DECOUPLED)
        raise ValueError(f"decay_at 'read' with {name}, whose decay is not known; accepted: 'newest', or one of {names}")


def _coupled(optimizer: torch.optim.Optimizer, group: Dict[str, Any]) -> bool:
    return type(optimizer).__name__ not in _DECOUPLED and not group.get("decoupled_weight_decay", False)


@contextmanager
def decay_where_read(
    optimizer: torch.optim.Optimizer,
    decay_at: str,
    newest_and_read: Callable[[torch.Tensor], Optional[Tuple[torch.Tensor, torch.Tensor]]],
) -> Iterator[None]:
    """Moves the decay of one step from the newest weights to those that were read, where that is asked for.

    The optimizer will add decay times the newest weights; gradients get decay times what is missing until then, and are put
    back afterwards.
    """
    before = []
    if decay_at == "read":
        for group in optimizer.param_groups:
            decay = group.get("weight_decay", 0.0)
            if not decay or not _coupled(optimizer, group):
                continue
            # The optimizer turns the gradient round before it adds the decay.
            decay = -decay if group.get("maximize", False) else decay
            for parameter in group["params"]:
                versions = newest_and_read(parameter)
                if parameter.grad is None or versions is None:
                    continue
                newest, read = (version.to(parameter.device) for version in versions)
                before.append((parameter, parameter.grad))
                parameter.grad = parameter.grad + decay * (read - newest)
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient
