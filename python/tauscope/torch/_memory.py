"""Free memory of a device of PyTorch, asked before a ring is allocated. Not here: the ring."""

from __future__ import annotations

from typing import Optional

import torch

from tauscope._memory import free_on_host


def free_bytes(device: torch.device) -> Optional[int]:
    """Bytes that can still be allocated on `device`; None where that cannot be asked."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What PyTorch keeps for itself and does not use is free as well.
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_on_host() if device.type == "cpu" else None
