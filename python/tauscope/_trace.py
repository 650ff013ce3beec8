"""Recorded delays, as every function takes them for `trace=`: what is no delay is told by its place.

Not here: files, which the core reads, and logs of frameworks (`tauscope.probe.staleness`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Union

import numpy as np

#: Largest delay, in updates.
_LONGEST = 1_000_000

_ACCEPTED = f"accepted: a path, or whole numbers of updates from 0 to {_LONGEST}"


def checked(trace: Any) -> Union[str, "os.PathLike[str]", Sequence[int], None]:
    """A path as it is, numbers as a list of whole ones.

    Raises:
        TypeError: Neither a path nor a list of numbers.
        ValueError: A number that is no delay, or none at all.
    """
    if trace is None or isinstance(trace, (str, os.PathLike)):
        return trace
    if isinstance(trace, (bytes, dict, set)) or not hasattr(trace, "__len__"):
        raise TypeError(f"trace: {type(trace).__name__}; {_ACCEPTED}")
    try:
        numbers = np.asarray(trace)
    except ValueError:
        raise ValueError(f"trace: lists of several lengths; {_ACCEPTED}") from None
    if numbers.ndim != 1:
        raise ValueError(f"trace of shape {numbers.shape}; {_ACCEPTED}, in a single list")
    if not len(numbers):
        raise ValueError("trace: it has no delays; accepted: at least one")
    if numbers.dtype.kind not in "iufO":
        raise TypeError(f"trace: {trace[0]!r} in it; {_ACCEPTED}")
    delays = []
    for place, given in enumerate(numbers.tolist()):
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            raise TypeError(f"trace: {given!r} at place {place}; {_ACCEPTED}")
        # A column with gaps is read as real numbers.
        if not 0 <= given <= _LONGEST or given != int(given):
            raise ValueError(f"trace: delay {given} at place {place}; {_ACCEPTED}")
        delays.append(int(given))
    return delays
