"""Pictures of results with matplotlib, in the colours and marks of the program's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ._results import Results
    from ._table import Table

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")

#: Lines up to which a legend fits into the picture.
INSIDE = 8

#: Columns that tell one line from another, but for the delay.
SERIES = (
    "rule",
    "momentum",
    "dampening",
    "schedule",
    "batch",
    "criterion",
    "lr_scaling",
    "lr",
    "local_steps",
    "local_lr",
    "replicas",
    "fresh_share",
    "overlap",
    "overlap_weight",
    "arrivals",
    "stage_delays",
    "stage_lr",
    "stage_momentum",
    "stage_cuts",
    "backward_delays",
)


def plot(results: Results, ax: Axes | None) -> Axes:
    """Draws the table that answers."""
    names = results.names
    if "thresholds" in names:
        table, value, label = results.thresholds, "lr_threshold", "largest stable learning rate"
    elif "summary" in names:
        table, value, label = results.summary, "test_accuracy", "test accuracy"
    else:
        raise ValueError(f"{results.folder}: nothing to plot; accepted: a folder of a sweep or a training")
    value = value if value in table else next(name for name in table if name.startswith(value))
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plot() draws with matplotlib; accepted: pip install matplotlib") from None
    delays = _delays(table)
    lines = _lines(table)
    many = len(lines) > INSIDE
    if ax is None:
        size = (11, max(4.5, 0.2 * len(lines))) if many else (7, 4.5)
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    for place, (name, rows) in enumerate(lines.items()):
        order = rows[np.argsort(delays[rows])]
        # Another mark for the same colour, every time that the colours begin anew.
        color, mark = COLORS[place % len(COLORS)], MARKS[(place + place // len(COLORS)) % len(MARKS)]
        theory = table["lr_theory"][order].astype(float) if "lr_theory" in table else np.full(len(order), np.nan)
        known = np.isfinite(theory).any()
        # Marks are measured; a line through them is drawn only where there is no theory to draw one.
        style = "none" if known else "dotted"
        y = table[value][order].astype(float)
        ax.plot(delays[order], y, marker=mark, markersize=5, color=color, label=name, linestyle=style, linewidth=1)
        if known:
            ax.plot(delays[order], theory, color=color, linewidth=1)
    if value == "lr_threshold":
        ax.set_yscale("log")
        ax.set_xscale("symlog", linthresh=1)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlim(left=-0.1)
    ax.set_xlabel("delay (updates)")
    ax.set_ylabel(label)
    ax.grid(True, which="major", color="#dddddd", linewidth=0.6)
    if many:
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    elif len(lines) > 1:
        ax.legend(frameon=False)
    return ax


def _delays(table: Table) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The delay that was asked for, or the mean."""
    delay = table["delay"].astype(float)
    mean = table.get("delay_mean")
    return delay if mean is None else np.where(np.isnan(delay), mean.astype(float), delay)


def _lines(table: Table) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Rows of each line, by a name made of what differs between lines."""
    there = [name for name in SERIES if name in table]
    differs = [name for name in there if len({str(value) for value in table[name]}) > 1]
    lines: dict[str, list[int]] = {}
    for row in range(table.rows):
        told = [_told(name, table[name][row]) for name in differs if not _is_without(name, table, row)]
        lines.setdefault(", ".join(told) or str(table["rule"][row]), []).append(row)
    return {name: np.array(rows) for name, rows in lines.items()}


def _is_without(name: str, table: Table, row: int) -> bool:
    """Whether a row has no momentum, of which nothing need be told."""
    return name in ("momentum", "dampening") and float(table["momentum"][row]) == 0.0


def _told(name: str, value: object) -> str:
    if name in ("rule", "schedule", "criterion", "lr_scaling"):
        return str(value)
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
