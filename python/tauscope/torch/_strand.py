"""Weight versions with the process that they follow: late gradients that are added, predicted weights, mixed results.

Not here: the optimizer around them (`tauscope.torch._delayed`), where versions are kept (`_ring`), states and shares (`_mixing`).
"""

from __future__ import annotations

import zlib
from typing import Any, Dict, List, Optional, Union

import torch

from tauscope import DelayProcess
from tauscope.torch._mixing import Share, StateRing, horizon_of, mix
from tauscope.torch._ring import WeightRing


class Strand:
    """A ring with the process that it follows: that of all parameters, or that of one stage."""

    #: What is made of late gradients other than adding them, as it was given.
    remedy: Dict[str, Union[float, str]] = {}

    def __init__(self, process: DelayProcess, device: Optional[torch.device]) -> None:
        self.process = process
        self.ring = WeightRing(process.slots, device)
        self.newest = 0
        self.read, self._write, self.delay = process.next()

    @property
    def bytes(self) -> int:
        return self.ring.bytes

    def add(self, parameters: List[torch.Tensor]) -> None:
        """Takes parameters in, with what they are."""
        self.ring.add(parameters)

    def check_untouched(self) -> None:
        changed = self.ring.changed(self.read)
        if changed is not None:
            raise RuntimeError(
                f"{changed} since the latest step, which would be lost; "
                "accepted: changes inside server(), or before Delayed is made"
            )

    def skip(self, steps: int) -> None:
        """Goes on by so many steps that wrote nothing."""
        for _ in range(steps):
            self.newest = self._write
            self.read, self._write, self.delay = self.process.next()

    def load_newest(self) -> None:
        if self.newest != self.read:
            self.ring.load(self.newest)

    def load_for_update(self) -> None:
        """Loads what the optimizer is to step from."""
        self.load_newest()

    def load_read(self, always: bool = False) -> None:
        if always or self.newest != self.read:
            self.ring.load(self.read)

    def write(self) -> None:
        """Stores what the parameters hold as the newest version, and loads the one that is read next."""
        self.ring.store(self._write)
        self.skip(1)
        self.load_read()

    def keep_changes(self) -> None:
        """Stores what the parameters hold, where it is no longer the newest version."""
        if self.ring.changed(self.newest, by_value=True) is not None:
            self.ring.store(self.newest)

    def state(self, places: Dict[int, int]) -> Dict[str, Any]:
        place = {"read": self.read, "write": self._write, "newest": self.newest, "delay": self.delay}
        of_process = {"schedule": self.process.schedule, "slots": self.process.slots, "seed": self.process.seed}
        parameters = [places[id(parameter)] for parameter in self.ring.parameters]
        return {
            **of_process,
            **place,
            "draws": _draws(self.process),
            "remedy": dict(self.remedy),
            "parameters": parameters,
            "versions": self.ring.tensors(),
        }

    def moved_to(self, state: Dict[str, Any], steps: int, places: Dict[int, int]) -> "tuple[DelayProcess, List[int]]":
        """The process where a state was saved, if it is that of this strand, and where its parameters stand in the state."""
        missing = [name for name in self.state(places) if name not in state]
        if missing:
            raise ValueError(f"the state has no {', '.join(missing)}; accepted: what Delayed.state_dict() gave")
        for name in ("slots", "seed"):
            if state[name] != getattr(self.process, name):
                here = f"{self.process.schedule} with {name} {getattr(self.process, name)}"
                raise ValueError(f"the state is that of {state['schedule']} with {name} {state[name]}; accepted: {here}")
        remedy = state.get("remedy", {})
        if remedy != self.remedy:
            raise ValueError(f"the state is of {_words(remedy)}; accepted: {_words(self.remedy)}, as here")
        order = self.ring.arrange(places, state["parameters"])
        self.ring.check_shapes([state["versions"][index] for index in order])
        process = self.process.restart()
        process.skip(steps)
        read, write, delay = process.next()
        if (read, write, delay) != (state["read"], state["write"], state["delay"]) or state["draws"] != _draws(self.process):
            raise ValueError(f"the state is of other delays than {self.process.schedule} has; accepted: the same process")
        return process, order

    def restore(self, state: Dict[str, Any], process: DelayProcess, order: List[int]) -> None:
        self.process, self.newest = process, state["newest"]
        self.read, self._write, self.delay = state["read"], state["write"], state["delay"]
        self.ring.restore([state["versions"][index] for index in order])
        self.ring.load(self.read)


class Predicting(Strand):
    """A ring whose versions run ahead of the newest weights, which have a slot of their own behind the others."""

    def __init__(self, process: DelayProcess, device: Optional[torch.device], horizon: Union[float, str]) -> None:
        super().__init__(process, device)
        self.ring = WeightRing(process.slots + 1, device)
        self._horizon = horizon_of(horizon, process.mean_delay)
        self.remedy = {"horizon": horizon if isinstance(horizon, str) else float(horizon)}
        # Slot with what was predicted last.
        self._latest = 0
        self.newest = process.slots

    def skip(self, steps: int) -> None:
        super().skip(steps)
        self.newest = self.process.slots

    def write(self) -> None:
        before = [self.ring.version(parameter, self.newest).clone() for parameter in self.ring.parameters]
        self.ring.store(self.newest)
        for parameter, old in zip(self.ring.parameters, before):
            new = self.ring.version(parameter, self.newest)
            self.ring.version(parameter, self._write).copy_(new + self._horizon * (new - old))
        self._latest = self._write
        self.skip(1)
        self.load_read(always=True)

    def keep_changes(self) -> None:
        """Moves what was predicted last by what the newest weights were changed."""
        if self.ring.changed(self.newest, by_value=True) is None:
            return
        for parameter in self.ring.parameters:
            latest, newest = (self.ring.version(parameter, slot) for slot in (self._latest, self.newest))
            latest.copy_(parameter.detach().to(newest.device) + (latest - newest))
        super().keep_changes()

    def state(self, places: Dict[int, int]) -> Dict[str, Any]:
        return {**super().state(places), "latest": self._latest}

    def restore(self, state: Dict[str, Any], process: DelayProcess, order: List[int]) -> None:
        super().restore(state, process, order)
        self.newest, self._latest = process.slots, state["latest"]


class Mixed(Strand):
    """A ring whose newest version takes in a share of where the optimizer got to from the version that was read."""

    def __init__(
        self,
        process: DelayProcess,
        device: Optional[torch.device],
        optimizer: torch.optim.Optimizer,
        mixing: Union[float, str],
    ) -> None:
        super().__init__(process, device)
        self._share = Share(mixing, process.mean_delay)
        self.remedy = {"mixing": mixing if isinstance(mixing, str) else float(mixing)}
        self._states = StateRing(optimizer, process.slots, device)

    @property
    def bytes(self) -> int:
        return self.ring.bytes + self._states.bytes

    def add(self, parameters: List[torch.Tensor]) -> None:
        first = len(self.ring.parameters)
        super().add(parameters)
        self._states.add(first, self.ring.parameters)

    def load_for_update(self) -> None:
        """Leaves the weights that were read, and loads the state that belongs to them."""
        self._states.load(self.read, self.ring.parameters)

    def write(self) -> None:
        share, parameters = self._share.at(self.delay), self.ring.parameters
        for parameter in parameters:
            version, newest = (self.ring.version(parameter, slot) for slot in (self._write, self.newest))
            # A parameter without gradient, as a frozen one, stays where it is.
            version.copy_(newest if parameter.grad is None else mix(newest, parameter.detach(), share))
        self._states.store_mixed(self._write, self.newest, share, parameters)
        self.skip(1)
        self.load_read(always=True)

    def state(self, places: Dict[int, int]) -> Dict[str, Any]:
        return {**super().state(places), "states": self._states.states()}

    def moved_to(self, state: Dict[str, Any], steps: int, places: Dict[int, int]) -> "tuple[DelayProcess, List[int]]":
        moved = super().moved_to(state, steps, places)
        self._states.check(state["states"])
        return moved

    def restore(self, state: Dict[str, Any], process: DelayProcess, order: List[int]) -> None:
        super().restore(state, process, order)
        slots = state["states"]
        self._states.restore([{here: slot[there] for here, there in enumerate(order) if there in slot} for slot in slots])


def strand_of(
    process: DelayProcess,
    device: Optional[torch.device],
    optimizer: torch.optim.Optimizer,
    mixing: Union[float, str, None],
    horizon: Union[float, str, None],
) -> Strand:
    if mixing is not None:
        return Mixed(process, device, optimizer, mixing)
    if horizon is not None:
        return Predicting(process, device, horizon)
    return Strand(process, device)


def _draws(process: DelayProcess) -> int:
    """A number that tells processes apart by their first delays."""
    return zlib.crc32(b"".join(part.astype("<i8").tobytes() for part in process.restart().take(1000)))


def _words(remedy: Dict[str, Union[float, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in remedy.items()) or "late gradients that are added"
