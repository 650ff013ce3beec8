"""The weight versions of a set of parameters, one in each slot.

Not here: which slot is read or written when (`tauscope.torch._strand`).
"""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, Optional, Sequence

import torch

from tauscope._memory import shown
from tauscope.torch._memory import free_bytes


class WeightRing:
    """`slots` versions of each parameter, beside the parameters themselves.

    A version is copied into the parameters and back, never exchanged with them, so that views, captured graphs and other
    holders of a parameter stay right.
    """

    def __init__(self, slots: int, device: Optional[torch.device]) -> None:
        self.slots = slots
        self.parameters: List[torch.Tensor] = []
        self._device = device
        # By parameter: slots x its shape.
        self._versions: List[torch.Tensor] = []
        # What PyTorch counts changes in place with, when the ring wrote a parameter last.
        self._counts: List[int] = []
        self._held: Dict[int, int] = {}

    def __contains__(self, parameter: torch.Tensor) -> bool:
        return id(parameter) in self._held

    @property
    def bytes(self) -> int:
        return sum(version.numel() * version.element_size() for version in self._versions)

    def add(self, parameters: Sequence[torch.Tensor]) -> None:
        """Takes parameters in; every slot begins as what they are now."""
        new = list({id(parameter): parameter for parameter in parameters if parameter not in self}.values())
        self._check_memory(new)
        versions = [self._allocate(parameter) for parameter in new]
        for parameter, version in zip(new, versions):
            version.copy_(parameter.detach().expand_as(version))
            self._held[id(parameter)] = len(self.parameters)
            self.parameters.append(parameter)
            self._versions.append(version)
            self._counts.append(parameter._version)

    def load(self, slot: int) -> None:
        """Copies a slot into the parameters."""
        _copy([parameter.detach() for parameter in self.parameters], [version[slot] for version in self._versions])
        self._counts = [parameter._version for parameter in self.parameters]

    def store(self, slot: int) -> None:
        """Copies the parameters into a slot."""
        _copy([version[slot] for version in self._versions], [parameter.detach() for parameter in self.parameters])
        self._counts = [parameter._version for parameter in self.parameters]

    def version(self, parameter: torch.Tensor, slot: int) -> torch.Tensor:
        """The version of one parameter in a slot; a view."""
        return self._versions[self._held[id(parameter)]][slot]

    def changed(self, slot: int, by_value: bool = False) -> Optional[str]:
        """The first parameter that is no longer what this slot holds, in words.

        PyTorch counts changes in place, but not those through `.data`; by value they are seen too, for a pass over all weights.
        """
        for index, (parameter, version) in enumerate(zip(self.parameters, self._versions)):
            found = f"a parameter of shape {tuple(parameter.shape)} (number {index} of its ring)"
            if parameter.dtype != version.dtype or (self._device is None and parameter.device != version.device):
                return f"{found} is now {parameter.dtype} on {parameter.device}"
            if (by_value or parameter._version != self._counts[index]) and not _same(parameter.detach(), version[slot]):
                return f"{found} was written"
        return None

    def tensors(self) -> List[torch.Tensor]:
        """All versions, by parameter: slots x shape. Not copies."""
        return list(self._versions)

    def restore(self, tensors: Sequence[torch.Tensor]) -> None:
        """Takes over all versions, by parameter. They are copied."""
        for version, tensor in zip(self._versions, tensors):
            version.copy_(tensor)

    def arrange(self, places: Dict[int, int], saved: Sequence[int]) -> List[int]:
        """Where each parameter here stands in a state, by their places among all parameters.

        Args:
            places: Place of each parameter, by its id.
            saved: Places of the state's parameters.

        Raises:
            ValueError: A state of other parameters.
        """
        here = [places[id(parameter)] for parameter in self.parameters]
        if sorted(here) != sorted(saved):
            raise ValueError(
                f"the state has versions of the parameters {sorted(saved)}, counted through the groups; accepted: "
                f"{sorted(here)}, as are trained here"
            )
        return [list(saved).index(place) for place in here]

    def check_shapes(self, tensors: Sequence[torch.Tensor]) -> None:
        """Refuses versions that are not of these parameters."""
        if len(tensors) != len(self._versions):
            raise ValueError(
                f"the state has versions of {len(tensors)} parameters; accepted: {len(self._versions)}, as are trained here"
            )
        for index, (version, tensor) in enumerate(zip(self._versions, tensors)):
            if tensor.shape != version.shape or tensor.dtype != version.dtype:
                raise ValueError(
                    f"the state's versions of parameter {index} are {tensor.dtype} of shape {tuple(tensor.shape)}; "
                    f"accepted: {version.dtype} of shape {tuple(version.shape)}, slots first"
                )

    def _place(self, parameter: torch.Tensor) -> torch.device:
        return parameter.device if self._device is None else self._device

    def _allocate(self, parameter: torch.Tensor) -> torch.Tensor:
        device, shape = self._place(parameter), (self.slots, *parameter.shape)
        # Copies between a GPU and the host are several times as fast from pinned memory.
        pinned = device.type == "cpu" and parameter.is_cuda
        try:
            return torch.empty(shape, dtype=parameter.dtype, device=device, pin_memory=pinned)
        except RuntimeError as error:
            size = shown(self.slots * parameter.numel() * parameter.element_size())
            raise MemoryError(f"{size} for {self.slots} versions of a parameter cannot be had on {device}") from error

    def _check_memory(self, parameters: Sequence[torch.Tensor]) -> None:
        versions: Counter[torch.device] = Counter()
        for parameter in parameters:
            versions[self._place(parameter)] += parameter.numel() * parameter.element_size()
        for device, size in versions.items():
            free = free_bytes(device)
            if free is not None and self.slots * size > free:
                host = "" if device.type == "cpu" else ", or device='cpu'"
                raise MemoryError(
                    f"a ring of {self.slots} slots takes {shown(self.slots * size)} on {device}, where {shown(free)} are free; "
                    f"accepted: up to {free // size} slots{host}"
                )


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one, other.to(one.device))


def _copy(targets: List[torch.Tensor], sources: List[torch.Tensor]) -> None:
    with torch.no_grad():
        if targets and hasattr(torch, "_foreach_copy_"):
            torch._foreach_copy_(targets, sources)
            return
        for target, source in zip(targets, sources):
            target.copy_(source)
