"""Which learning rate and momentum keep a minimum reachable when gradients arrive late?

The *delay* of a gradient is the number of updates between reading the weights and applying the gradient that was taken at
them; 0 is synchronous training. The *gain* is the learning rate times the curvature, the number that thresholds are stated
in.

- `threshold`, `stage_threshold`, `coverage`, `growth`, `effective_factor`, `characteristic`: closed forms, over numpy arrays
- `advise`, `tune`: what to run under delay
- `sweep`, `train`: measurements, with keywords named as the flags of the command line
- `open`: tables of a results folder
- `DelayProcess`: the delays of a run, step by step
"""

from ._core import DelayProcess, __version__
from ._jobs import sweep, train
from ._results import Results
from ._results import open_folder as open  # noqa: A004
from ._table import Table
from ._theory import (
    Advice,
    Characteristic,
    Choice,
    OuterAdvice,
    Recommendation,
    Tuned,
    advise,
    characteristic,
    coverage,
    effective_factor,
    growth,
    stage_threshold,
    threshold,
    tune,
)

__all__ = [
    "Advice",
    "Characteristic",
    "Choice",
    "DelayProcess",
    "OuterAdvice",
    "Recommendation",
    "Results",
    "Table",
    "Tuned",
    "__version__",
    "advise",
    "characteristic",
    "coverage",
    "effective_factor",
    "growth",
    "open",
    "stage_threshold",
    "sweep",
    "threshold",
    "train",
    "tune",
]
