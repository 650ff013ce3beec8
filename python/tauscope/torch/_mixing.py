"""Mixing late results: the state of an optimizer beside every version of the weights, and the mean of two states.

Not here: the weight versions (`tauscope.torch._ring`), and when a worker reads or reports (`tauscope.torch._strand`).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Union

import torch

from tauscope._memory import shown
from tauscope.torch._memory import free_bytes

#: State of the optimizer for one parameter; a tensor that is not there counts as zeros.
State = Dict[str, Any]


class Share:
    """Share of a worker's result that the server takes in.

    Args:
        given: A number above 0 and at most 1; "1/T", one over the mean delay plus one; or "age", one over the delay of each
            result plus one.
        mean_delay: Mean delay of the process, in updates.

    Raises:
        ValueError, TypeError: Anything else.
    """

    def __init__(self, given: Union[float, str], mean_delay: float) -> None:
        accepted = "accepted: a share above 0 and at most 1, '1/T' or 'age'"
        self._fixed: Optional[float] = None
        if isinstance(given, str) and given == "1/T":
            self._fixed = 1.0 / (mean_delay + 1.0)
        elif not (isinstance(given, str) and given == "age"):
            if isinstance(given, (str, bool)):
                raise ValueError(f"mixing {given!r}; {accepted}")
            try:
                self._fixed = float(given)
            except TypeError:
                raise TypeError(f"mixing {given!r}; {accepted}") from None
            if not 0.0 < self._fixed <= 1.0:
                raise ValueError(f"mixing {given}; {accepted}")

    def at(self, delay: int) -> float:
        return 1.0 / (delay + 1.0) if self._fixed is None else self._fixed


def horizon_of(given: Union[float, str], mean_delay: float) -> float:
    """Number of updates by which read weights run ahead.

    Raises:
        ValueError, TypeError: Neither "delay" nor a number from 0 on.
    """
    if given == "delay":
        return mean_delay
    accepted = "accepted: updates from 0 on, or 'delay'"
    if isinstance(given, (str, bool)):
        raise ValueError(f"horizon {given!r}; {accepted}")
    try:
        number = float(given)
    except TypeError:
        raise TypeError(f"horizon {given!r}; {accepted}") from None
    if not 0.0 <= number < math.inf:
        raise ValueError(f"horizon {given}; {accepted}")
    return number


class StateRing:
    """The state of an optimizer in each slot. At first all have what the optimizer has."""

    def __init__(self, optimizer: torch.optim.Optimizer, slots: int, device: Optional[torch.device]) -> None:
        self._optimizer = optimizer
        self._device = device
        self._slots: List[Dict[int, State]] = [{} for _ in range(slots)]
        self._is_checked = False

    @property
    def bytes(self) -> int:
        parts = [part for slot in self._slots for state in slot.values() for part in state.values()]
        return sum(part.numel() * part.element_size() for part in parts if isinstance(part, torch.Tensor))

    def add(self, first: int, parameters: Sequence[torch.Tensor]) -> None:
        """Takes in the parameters from place `first` on; every slot begins with the state that they have."""
        for index, parameter in enumerate(parameters[first:], start=first):
            state = self._optimizer.state.get(parameter)
            if state:
                for slot in self._slots:
                    slot[index] = {name: self._placed(_copied(part, None)) for name, part in state.items()}

    def load(self, slot: int, parameters: Sequence[torch.Tensor]) -> None:
        """Gives the optimizer the state of a slot."""
        for index, parameter in enumerate(parameters):
            kept = self._slots[slot].get(index)
            if kept is None:
                self._optimizer.state.pop(parameter, None)
            else:
                self._optimizer.state[parameter] = {name: _copied(part, parameter) for name, part in kept.items()}

    def store_mixed(self, slot: int, newest: int, share: float, parameters: Sequence[torch.Tensor]) -> None:
        """Puts into a slot what the newest state becomes with a share of the optimizer's present one, and gives it that."""
        mixed = {}
        for index, parameter in enumerate(parameters):
            before = self._slots[newest].get(index, {})
            result = before if parameter.grad is None else self._optimizer.state.get(parameter)
            if not result:
                continue
            mixed[index] = {name: self._placed(_mixed(name, before.get(name), part, share)) for name, part in result.items()}
        self._check_memory(mixed)
        self._slots[slot] = mixed

    def _check_memory(self, one: Dict[int, State]) -> None:
        """Refuses states that will not fit, once it is known how large one is: after the first update."""
        if self._is_checked or not one:
            return
        self._is_checked = True
        sizes: Counter[torch.device] = Counter()
        for part in (part for state in one.values() for part in state.values() if isinstance(part, torch.Tensor)):
            sizes[part.device] += part.numel() * part.element_size()
        left = len(self._slots) - 1 - sum(1 for slot in self._slots if slot)
        for device, size in sizes.items():
            free = free_bytes(device)
            if free is not None and left * size > free:
                raise MemoryError(
                    f"the optimizer's state in {left} more slots takes {shown(left * size)} on {device}, where {shown(free)} are free; "
                    "accepted: a shorter delay, an optimizer with less state"
                )

    def states(self) -> List[Dict[int, State]]:
        """All states, by slot and by parameter. Not copies."""
        return [dict(states) for states in self._slots]

    def check(self, states: Any) -> None:
        """Refuses what is no state of these slots."""
        if not isinstance(states, list) or len(states) != len(self._slots) or not all(isinstance(one, dict) for one in states):
            raise ValueError(f"the state has no optimizer's state for each of {len(self._slots)} slots; accepted: what Delayed.state_dict() gave")

    def restore(self, states: Sequence[Dict[int, State]]) -> None:
        """Takes over all states, by parameter. They are copied."""
        self._slots = [
            {index: {name: self._placed(_copied(part, None)) for name, part in state.items()} for index, state in kept.items()}
            for kept in states
        ]

    def _placed(self, part: Any) -> Any:
        if self._device is not None and isinstance(part, torch.Tensor) and part.dim() > 0:
            return part.to(self._device)
        return part


def mix(newest: torch.Tensor, result: torch.Tensor, share: float) -> torch.Tensor:
    """`newest` with a share of `result` in its place."""
    newest = newest.to(result.device)
    return (1.0 - share) * newest + share * result


#: Parts of states that begin at zero. Others begin with what the optimizer makes of them at its first step.
_FROM_ZERO = (
    "step", "momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "acc_delta", "exp_inf", "ax",
    "prev",
)


def _mixed(name: str, before: Any, result: Any, share: float) -> Any:
    if before is None and name not in _FROM_ZERO:
        return _copied(result, None)
    if isinstance(result, torch.Tensor) and (result.is_floating_point() or result.is_complex()):
        zeros = torch.zeros_like(result) if before is None else before
        return mix(zeros, result, share)
    # Counts of steps as plain numbers, as older optimizers keep them.
    if isinstance(result, (int, float)) and not isinstance(result, bool):
        return (before or 0) + share * (result - (before or 0))
    return result


def _copied(part: Any, like: Optional[torch.Tensor]) -> Any:
    if not isinstance(part, torch.Tensor):
        return part
    # Scalars, as counts of steps, stay where the optimizer keeps them.
    return part.clone() if like is None or part.dim() == 0 else part.to(like.device, copy=True)
