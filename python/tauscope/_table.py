"""Tables whose columns are numpy arrays."""

from __future__ import annotations

import csv
import html
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Column = npt.NDArray[Any]

#: Columns that hold text, whatever it looks like: an id may consist of digits.
TEXT = frozenset(
    "adapter arrivals backward_delays baseline baseline_id batch cell_id criterion data engine group_id layer local_rule loss lr_reference lr_regime lr_scaling "
    "metric model pairing precision reason rows rule run_id sampling schedule shard source stage_cuts stage_delays stage_lr stage_momentum stashing status theory theory_from "
    "unit_id verdict version".split()
)
#: In a table of runs, `loss` is a number: what these columns hold decides.
MIXED = frozenset(["loss"])

#: Rows of a table that its repr shows.
SHOWN = 10


class Table(Mapping[str, Column]):
    """Columns by their names, each a numpy array of shape (rows,).

    Numbers are int64 where every cell has a whole one, else float64 with NaN for an empty cell; text is an array of objects
    with None for an empty cell. Converts to pandas, polars and Arrow where they are installed, and can be passed to
    whatever reads Arrow's PyCapsule interface (`polars.DataFrame(table)`, `pyarrow.table(table)`, DuckDB, ...).
    """

    def __init__(self, columns: Mapping[str, Column], name: str = "table") -> None:
        self._columns = dict(columns)
        self.name = name
        lengths = {len(column) for column in self._columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"{name}: columns of {sorted(lengths)} rows; accepted: columns of one length")
        self._rows = lengths.pop() if lengths else 0

    @staticmethod
    def read(file: TextIO, name: str) -> Table:
        """Reads CSV with a header, as every table of tauscope is written.

        Raises:
            ValueError: A file without a header, or a line of another number of values.
        """
        reader = csv.reader(file)
        try:
            header = next(reader)
        except StopIteration:
            raise ValueError(f"{name}: empty; accepted: CSV whose first line names its columns") from None
        rows: list[list[str]] = []
        for row in reader:
            if len(row) != len(header):
                raise ValueError(f"{name}, line {reader.line_num}: {len(row)} values; accepted: {len(header)}, one per column")
            rows.append(row)
        cells: Iterator[tuple[str, ...]] = zip(*rows) if rows else iter([()] * len(header))
        return Table({title: _column(title, values) for title, values in zip(header, cells)}, name)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in their order."""
        return list(self._columns)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._rows

    def row(self, index: int) -> dict[str, Any]:
        """One row as a dict of Python values; a negative index counts from the end."""
        return {name: column[index].item() if isinstance(column[index], np.generic) else column[index]
                for name, column in self._columns.items()}

    def where(self, **values: object) -> Table:
        """The rows in which every named column has the given value: `table.where(rule="sgd", delay=4)`.

        Raises:
            KeyError: A name that is no column.
        """
        keep = np.ones(self._rows, dtype=bool)
        for name, value in values.items():
            keep &= np.asarray(self[name] == value, dtype=bool)
        return Table({name: column[keep] for name, column in self._columns.items()}, self.name)

    def __getitem__(self, name: str) -> Column:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"{self.name} has no column {name!r}; accepted: {', '.join(self._columns)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas data frame with the same columns."""
        import pandas

        return pandas.DataFrame(self._columns)

    def to_polars(self) -> polars.DataFrame:
        """A polars data frame with the same columns; empty cells are null."""
        import polars

        return polars.DataFrame(
            {name: polars.Series(name, column.tolist(), dtype=polars.String) if column.dtype == object
             else polars.Series(name, column, nan_to_null=True) for name, column in self._columns.items()}
        )

    def to_arrow(self) -> pyarrow.Table:
        """A pyarrow table with the same columns; empty cells are null."""
        import pyarrow

        return pyarrow.table(
            {name: pyarrow.array(column, from_pandas=True, type=pyarrow.string() if column.dtype == object else None)
             for name, column in self._columns.items()}
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Arrow's PyCapsule interface, through pyarrow or polars, whichever is installed.

        Raises:
            ImportError: Neither is.
        """
        try:
            return self.to_arrow().__arrow_c_stream__(requested_schema)
        except ImportError:
            pass
        try:
            return self.to_polars().__arrow_c_stream__(requested_schema)
        except ImportError:
            raise ImportError("a table goes to Arrow through pyarrow or polars; accepted: either of them installed") from None

    def _shown(self) -> list[list[str]]:
        def cell(value: object) -> str:
            if value is None or (isinstance(value, float) and np.isnan(value)):
                return ""
            return f"{value:.6g}" if isinstance(value, float) else str(value)

        # Columns that are empty throughout tell nothing.
        names = [name for name, column in self._columns.items() if any(cell(value) for value in column)] or self.columns
        shown = [[cell(self._columns[name][index]) for name in names] for index in range(min(self._rows, SHOWN))]
        return [names, *shown]

    def __repr__(self) -> str:
        lines = self._shown()
        widths = [max(map(len, column)) for column in zip(*lines)]
        body = "\n".join("  ".join(value.rjust(width) for value, width in zip(line, widths)) for line in lines)
        more = f"\n... {self._rows - SHOWN} more rows" if self._rows > SHOWN else ""
        return f"{self.name}: {self._rows} rows, {len(self)} columns\n{body}{more}"

    def _repr_html_(self) -> str:
        header, *rows = self._shown()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in row) + "</tr>" for row in rows)
        told = f"{html.escape(self.name)}: {self._rows} rows, {len(self)} columns"
        return f"<table><caption>{told}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _column(title: str, cells: tuple[str, ...]) -> Column:
    if title not in TEXT or title in MIXED:
        try:
            return _numbers(cells)
        except ValueError:
            pass
    values = np.empty(len(cells), dtype=object)
    values[:] = [cell or None for cell in cells]
    return values


def _numbers(cells: tuple[str, ...]) -> Column:
    if set(cells) <= {"true", "false"} and cells:
        return np.array([cell == "true" for cell in cells])
    if all(cell.lstrip("-").isdecimal() for cell in cells) and cells:
        whole = [int(cell) for cell in cells]
        return np.array(whole, dtype=np.uint64 if max(whole) > np.iinfo(np.int64).max else np.int64)
    return np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)


def load(path: str | os.PathLike[str]) -> Table:
    """Reads one table, a CSV file or one that is packed with gzip."""
    import gzip

    name = os.fspath(path)
    if name.endswith(".gz"):
        with gzip.open(name, "rt", encoding="utf-8", newline="") as packed:
            return Table.read(packed, os.path.basename(name))
    with open(name, encoding="utf-8", newline="") as file:
        return Table.read(file, os.path.basename(name))
