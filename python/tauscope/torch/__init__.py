"""Delayed gradients in your own PyTorch training.

`Delayed` wraps an optimizer, so that every gradient arrives as late as a delay process says. Not here: whether a
training bears the delay (`tauscope.probe`, `tauscope.threshold`).
"""

from tauscope.torch._delayed import Delayed

__all__ = ["Delayed"]
