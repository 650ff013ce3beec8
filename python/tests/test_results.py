"""Results folders as tables: numpy, pandas, polars, Arrow, pictures."""

import csv
import gzip
import re
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import tauscope
from tauscope._table import TEXT, load

COMMITTED = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def results():
    return tauscope.open(COMMITTED / "2026-11-22-default-sweep")


def test_columns_are_those_of_the_file(results):
    with open(results.folder / "thresholds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = results.thresholds
    assert table.columns == list(rows[0]) and table.rows == len(rows)
    assert table["lr_threshold"].tolist() == [float(row["lr_threshold"]) for row in rows]
    assert table["delay"].dtype == np.int64 and table["rule"].tolist() == [row["rule"] for row in rows]
    assert table["cell_id"].dtype == object and np.isnan(table["relative_variance"]).all()
    late = table.where(rule="sgd", delay=4)
    assert late.rows == 1 and late.row(0)["lr_theory"] == float(next(
        row["lr_theory"] for row in rows if row["rule"] == "sgd" and row["delay"] == "4"))
    assert dict(table).keys() == set(table.columns) and "rule" in table


def test_only_columns_of_text_hold_text():
    tables = sorted({path for path in COMMITTED.rglob("*.csv") if path.name in
                     ("thresholds.csv", "runs.csv", "delays.csv", "metrics.csv", "summary.csv", "compare.csv")})
    assert len(tables) >= 5
    for path in tables:
        table = load(path)
        texts = {name for name, column in table.items() if column.dtype == object}
        assert texts <= TEXT | {"arm_id"}, path


def test_tables_convert_with_empty_cells_as_null(results):
    table = results.thresholds
    frame = table.to_pandas()
    assert list(frame.columns) == table.columns and len(frame) == table.rows
    polar = table.to_polars()
    assert polar["relative_variance"].null_count() == table.rows and polar["rule"].to_list() == table["rule"].tolist()
    arrow = pyarrow.table(table)
    assert arrow.column("lr_threshold").to_pylist() == table["lr_threshold"].tolist()
    assert arrow.column("relative_variance").null_count == table.rows
    assert polars.DataFrame(table)["delay"].to_list() == table["delay"].tolist()
    assert isinstance(results.to_pandas(), pandas.DataFrame)


def test_arrow_goes_through_polars_where_pyarrow_is_missing(results, monkeypatch):
    arrow = results.thresholds.to_arrow().select(["rule", "delay"])

    def missing(_):
        raise ImportError

    monkeypatch.setattr(tauscope.Table, "to_arrow", missing)
    assert pyarrow.table(results.thresholds).select(["rule", "delay"]).to_pydict() == arrow.to_pydict()
    monkeypatch.setattr(tauscope.Table, "to_polars", missing)
    with pytest.raises(ImportError, match="pyarrow or polars"):
        results.thresholds.__arrow_c_stream__()


def test_tables_that_are_packed_read_alike(results, tmp_path):
    plain = (results.folder / "thresholds.csv").read_bytes()
    (tmp_path / "thresholds.csv.gz").write_bytes(gzip.compress(plain))
    packed = tauscope.open(tmp_path)
    assert packed.names == ["thresholds"] and packed.run == {}
    assert packed.thresholds["lr_threshold"].tolist() == results.thresholds["lr_threshold"].tolist()


def test_odd_cells_keep_their_meaning(tmp_path):
    (tmp_path / "odd.csv").write_text(
        'cell_id,seed,lr,reason,big\n123,1,0.5,"a, ""b""",18446744073709551615\n1e5,,,,1\n')
    table = tauscope.open(tmp_path)["odd"]
    assert table["cell_id"].tolist() == ["123", "1e5"] and table["reason"].tolist() == ['a, "b"', None]
    assert table["seed"].dtype == np.float64 and np.isnan(table["seed"][1])
    assert table["big"].tolist() == [18446744073709551615, 1]


def test_what_is_seen_of_a_table_is_short_and_safe(tmp_path):
    lines = "\n".join(f"<b>{row},{row}.5" for row in range(25))
    (tmp_path / "runs.csv").write_text(f"rule,lr\n{lines}\n")
    opened = tauscope.open(tmp_path)
    assert "25 rows, 2 columns" in repr(opened) and "... 15 more rows" in repr(opened)
    html = opened._repr_html_()
    assert html.count("<tr>") == 11 and "<b>" not in html and "&lt;b&gt;0" in html


def test_folders_that_are_none_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder; accepted: a results folder"):
        tauscope.open(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no tables in it"):
        tauscope.open(tmp_path)
    (tmp_path / "runs.csv").write_text("a,b\n1\n")
    with pytest.raises(ValueError, match="runs.csv, line 2: 1 values; accepted: 2, one per column"):
        tauscope.open(tmp_path).runs
    with pytest.raises(KeyError, match="no table 'thresholds'; accepted: runs"):
        tauscope.open(tmp_path).thresholds
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="empty.csv: empty"):
        tauscope.open(tmp_path)["empty"]


def test_pictures_show_what_was_measured(results):
    import matplotlib

    matplotlib.use("Agg")
    axes = results.plot()
    table = results.thresholds
    rules = {(rule, momentum, dampening) for rule, momentum, dampening in zip(
        table["rule"], table["momentum"], table["dampening"])}
    # Measured and theory, for each rule.
    assert len(axes.get_lines()) == 2 * len(rules)
    drawn = {value for line in axes.get_lines()[::2] for value in line.get_ydata()}
    assert drawn == set(table["lr_threshold"].tolist())
    trained = tauscope.open(COMMITTED / "2026-11-22-lenet-beside-pytorch").plot()
    assert trained.get_ylabel() == "test accuracy"
    matplotlib.pyplot.close("all")


def test_a_report_is_written_into_the_folder(results, tmp_path):
    for name in ("thresholds.csv", "runs.csv", "delays.csv", "run.json"):
        (tmp_path / name).write_bytes((results.folder / name).read_bytes())
    assert tauscope.open(tmp_path).report().read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def described(path):
    """Columns of numbers, as docs/columns.md has them, of the table that has the header of `path`; none of a table that is not in it."""
    with open(path, newline="") as file:
        header = next(csv.reader(file))
    for section in (COMMITTED.parent / "docs" / "columns.md").read_text().split("\n## ")[1:]:
        columns = dict(re.findall(r"^\| `(\w+)` \|.*\| ([a-z ]+) \|$", section, re.MULTILINE))
        if header == list(columns):
            return [name for name, kind in columns.items() if "number" in kind]
    return []


def test_pandas_and_polars_read_every_file_in_results_with_numbers_where_there_are_numbers():
    paths = sorted(COMMITTED.rglob("*.csv"))
    assert len(paths) > 100
    known = 0
    for path in paths:
        with open(path, newline="") as file:
            header, *rows = csv.reader(file)
        assert {len(row) for row in rows} <= {len(header)}, path
        frame, polar = pandas.read_csv(path), polars.read_csv(path, infer_schema_length=None)
        assert list(frame.columns) == polar.columns == header, path
        assert len(frame) == polar.height == len(rows), path
        numbers = described(path)
        known += bool(numbers)
        for name in numbers:
            empty = frame[name].isna().all()
            assert empty or pandas.api.types.is_numeric_dtype(frame[name]), (path, name)
            assert empty or polar[name].dtype.is_numeric(), (path, name)
    assert known >= 5, "tables of this version are among them"
