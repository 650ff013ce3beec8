"""Examples of docs/python.md and of the docstrings, run as they stand."""

import doctest
import math
import re
from pathlib import Path

import numpy
import pytest

import tauscope
from tauscope import _jobs, _theory

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_guide_runs_from_top_to_bottom(tmp_path, monkeypatch):
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 9
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert (tmp_path / "thresholds.png").stat().st_size > 1000


@pytest.mark.parametrize("module", [_theory, _jobs])
def test_docstrings_show_what_comes_out(module, tmp_path):
    names = {"tauscope": tauscope, "math": math, "np": numpy, "folder": tmp_path / "out"}
    failed, tried = doctest.testmod(module, extraglobs=names)
    assert tried > 0 and failed == 0


def test_every_public_name_says_what_it_is():
    for name in tauscope.__all__:
        if name != "__version__":
            assert (getattr(tauscope, name).__doc__ or "").strip(), name
