"""Which learning rate and momentum keep a minimum reachable when gradients arrive late?

The delay of a gradient is the number of updates between reading the weights and applying the gradient that was taken at
them; 0 is synchronous training.
"""

from ._core import DelayProcess, __version__

__all__ = ["DelayProcess", "__version__"]
