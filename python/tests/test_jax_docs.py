"""The code of docs/python-jax.md, run from top to bottom as one program."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python-jax.md"


def test_the_code_of_the_page_about_jax_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})
    assert "loss at the newest weights" in capsys.readouterr().out
