"""Types of the extension module. Users take these names from `tauscope`."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, final

import numpy as np
import numpy.typing as npt

__version__: str

@final
class DelayProcess:
    """Slots of one run, step by step: which stored version of the weights each step reads, and which it replaces.

    A run keeps a ring of `slots` versions, which all start as the first weights. Step t takes its gradient at the version
    in slot `read` and puts the new weights into slot `write`. The draws are those of the engines: a `tauscope train` run
    of the same process and seed reads and writes the same slots at the same steps.

    Args:
        schedule: A process as typed after `--schedule`: "round-robin" (default), "random", "workers:...", "iid:...",
            "trace:FILE", ...
        delay: Delay of the process in updates, where it takes one: N workers have a delay of N - 1.
        trace: Recorded delays, in updates: a path, or the numbers themselves. They start again at their end.
        pmf: Probabilities of the delays 0, 1, 2, ..., drawn independently at every update.
        seed: Seed of the draws; `tauscope train --seeds` has the same numbers.

    Raises:
        ValueError: A process or a delay that cannot be had; the message says what would be accepted.
    """

    def __new__(
        cls,
        schedule: str | None = None,
        delay: int | None = None,
        *,
        trace: str | PathLike[str] | Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        pmf: Sequence[float] | npt.NDArray[np.floating[Any]] | None = None,
        seed: int = 0,
    ) -> DelayProcess: ...
    def next(self) -> tuple[int, int, int]:
        """The next step as `(read, write, delay)`.

        `delay` counts the updates between the weights in `read` and now, where every step is an update. A slot that no step
        has written holds the first weights, from before step 0.
        """

    def take(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The next `count` steps as arrays of shape (count,): slots read, slots written, delays in updates."""

    def skip(self, count: int) -> None:
        """Draws `count` steps and forgets them: how a resumed training finds its place."""

    def restart(self, seed: int | None = None) -> DelayProcess:
        """The same process from its first step on, from another seed where one is given."""

    @property
    def step(self) -> int:
        """Number of steps drawn so far."""

    @property
    def seed(self) -> int:
        """Seed of the draws."""

    @property
    def schedule(self) -> str:
        """Name of the process, as in the column `schedule` of tables."""

    @property
    def slots(self) -> int:
        """Number of stored versions of the weights."""

    @property
    def workers(self) -> int | None:
        """Number of workers; None where the delays do not come from any."""

    @property
    def group(self) -> int:
        """Number of gradients that one update averages; 1 but for "hybrid"."""

    @property
    def mean_delay(self) -> float:
        """Mean delay in the long run, updates."""

    @property
    def is_random(self) -> bool:
        """Whether different seeds give different delays."""

Points = tuple[list[str], list[float], list[float], list[float], list[float]]
Given = tuple[str | None, object, list[float] | None]
_Pair = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

def threshold(points: Points, criterion: str | None, delays: Given, fresh_shares: list[float]) -> _Pair:
    """Threshold gains and angles of points: rules, momenta, dampenings, delays, relative variances; and of fresh shares."""

def stage_threshold(
    rule: str, dampening: float, stages: list[tuple[int, float, float, int]], hessian: list[float]
) -> tuple[float, float, float, bool]: ...
def growth(points: Points, delays: Given) -> _Pair:
    """Growth rates and angles of points: rules, momenta, dampenings, delays, gains."""

def effective_factor(points: Points, delays: Given) -> npt.NDArray[np.float64]:
    """Effective learning rates in learning rates, of points: rules, momenta, dampenings, delays; their numbers are not used."""

def equation(points: Points) -> tuple[int, str, list[float], list[float], float | None]:
    """Power of `z` in `D`, where the velocity is kept, [momentum, dampening], coefficients of `N`, share of what is mixed in."""

def main(words: Sequence[str], program: str) -> int:
    """The command line as a program; returns its exit code."""

def call(words: Sequence[str], take: Callable[[bool, str], None]) -> None:
    """A command within this process; `take(is_stderr, text)` gets its text."""

def flags(command: str) -> list[tuple[str, str | None, str]]:
    """Long flags of a command: name, default, help."""
