"""Delayed gradients in your own PyTorch training, and a watch over it.

`Delayed` wraps an optimizer, so that every gradient arrives as late as a delay process says. `Monitor` says during a training
how far it is from its threshold. Not here: whether a training tolerates the delay (`tauscope.probe`, `tauscope.threshold`).
"""

from tauscope.torch._delayed import Delayed
from tauscope.torch._monitor import InstabilityWarning, Monitor, Reading

__all__ = ["Delayed", "InstabilityWarning", "Monitor", "Reading"]
