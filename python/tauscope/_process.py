"""The process of a wrapper that delays gradients, from the arguments that all of them have.

Not here: draws of slots (`DelayProcess`).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from os import PathLike
from typing import Any, Optional, Union

from . import _trace
from ._core import DelayProcess


def process_of(
    delay: Optional[int],
    schedule: Union[str, DelayProcess, None],
    trace: Union[str, "PathLike[str]", Sequence[int], None],
    seed: int,
    accepted: str,
) -> DelayProcess:
    """A process at its first step.

    Args:
        delay: Delay in updates, where the process takes one.
        schedule: Process as typed after `--schedule`, or one that is made already.
        trace: Recorded delays, numbers or a file.
        seed: Seed of the draws.
        accepted: Keywords of the caller of which one says the delays.

    Raises:
        ValueError, TypeError: Arguments that do not go together.
    """
    if isinstance(schedule, DelayProcess):
        if delay is not None or trace is not None:
            raise ValueError("delay or trace beside a DelayProcess, which has its own; accepted: one of them")
        return schedule.restart()
    if delay is None and schedule is None and trace is None:
        raise ValueError(f"no delays; accepted: one of {accepted}")
    updates = None if delay is None else _whole("delay", delay, "a whole number of updates from 0 on, up to 1000000", 2**32)
    if schedule is not None and not isinstance(schedule, str):
        raise TypeError(f"schedule {schedule!r}; accepted: a process as typed after --schedule, or a DelayProcess")
    return DelayProcess(schedule, updates, trace=_trace.checked(trace), seed=_whole("seed", seed, "a whole number from 0 on, below 2^64", 2**64))


def _whole(name: str, given: Any, accepted: str, end: int) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise TypeError(f"{name} {given!r}; accepted: {accepted}")
    number = operator.index(given)
    if not 0 <= number < end:
        raise ValueError(f"{name} {number}; accepted: {accepted}")
    return number
