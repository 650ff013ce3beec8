"""Results folders: their tables, how they came to be, and their pictures."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _call
from ._table import Table, load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The table that answers, by what wrote the folder.
ANSWERS = ("thresholds", "rates", "summary", "compare", "runs")


class Results:
    """A results folder. Tables are read when they are asked for: `results["thresholds"]["lr_threshold"]`.

    Attributes:
        folder: Where it is.
        run: How it came to be: plan, version, engine, adapter and times, as in run.json.
        notes: What was said on the way, where this process made it.
    """

    def __init__(self, folder: str | os.PathLike[str], notes: list[str] | None = None) -> None:
        self.folder = Path(folder)
        self.notes = notes or []
        if not self.folder.is_dir():
            partial = self.folder.with_name(self.folder.name + ".partial")
            hint = f"; {partial} is unfinished, resume=True goes on" if partial.is_dir() else ""
            raise FileNotFoundError(f"{self.folder}: no such folder{hint}; accepted: a results folder")
        self._paths = {
            path.name.split(".csv")[0]: path
            for path in sorted(self.folder.iterdir())
            if path.name.endswith((".csv", ".csv.gz"))
        }
        if not self._paths:
            raise ValueError(f"{self.folder}: no tables in it; accepted: a folder of a sweep, a training or a comparison")
        self._read: dict[str, Table] = {}
        self.run: dict[str, Any] = {}
        if (self.folder / "run.json").is_file():
            self.run = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    @property
    def names(self) -> list[str]:
        """Names of the tables in the folder."""
        return list(self._paths)

    def __getitem__(self, name: str) -> Table:
        if name not in self._paths:
            raise KeyError(f"{self.folder} has no table {name!r}; accepted: {', '.join(self._paths)}")
        if name not in self._read:
            self._read[name] = load(self._paths[name])
        return self._read[name]

    @property
    def table(self) -> Table:
        """The table that answers: thresholds of a sweep, groups of runs of a training."""
        return self[next((name for name in ANSWERS if name in self._paths), self.names[0])]

    @property
    def thresholds(self) -> Table:
        """Thresholds of a sweep, one row for each cell: `lr_stable`, `lr_unstable`, `lr_threshold` beside `lr_theory`."""
        return self["thresholds"]

    @property
    def summary(self) -> Table:
        """Summary of a training, one row for each group of runs that differ in their seed alone."""
        return self["summary"]

    @property
    def runs(self) -> Table:
        """One row for each run."""
        return self["runs"]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the answer with matplotlib: thresholds against the delay beside theory, or accuracy against the delay.

        Args:
            ax: Where to draw; a new figure by default.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: A folder of neither a sweep nor a training.
        """
        from ._plot import plot

        return plot(self, ax)

    def report(self) -> Path:
        """Writes report.html into the folder, one page with answers, pictures and tables, and returns its path."""
        _call.output("report", {"plan": self.folder})
        return self.folder / "report.html"

    def to_pandas(self) -> Any:
        """The table that answers, as a pandas data frame."""
        return self.table.to_pandas()

    def to_polars(self) -> Any:
        """The table that answers, as a polars data frame."""
        return self.table.to_polars()

    def __repr__(self) -> str:
        return f"results in {self.folder}: {', '.join(self.names)}\n{self.table!r}"

    def _repr_html_(self) -> str:
        names = html.escape(", ".join(self.names))
        return f"<p>results in <code>{html.escape(str(self.folder))}</code>: {names}</p>{self.table._repr_html_()}"


def open_folder(folder: str | os.PathLike[str]) -> Results:
    """Opens a results folder that `tauscope sweep`, `train` or `compare` wrote.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: A folder without tables.
    """
    return Results(folder)
