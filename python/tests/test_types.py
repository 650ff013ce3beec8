"""Types: mypy's strict mode over the package, its stubs, and a program that uses them."""

import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import tauscope
from tauscope import _jobs

PROGRAM = """
import pathlib
import numpy as np
import tauscope
from tauscope.probe import judge, staleness

process = tauscope.DelayProcess("random", 3, seed=1)
read, write, delay = process.next()
late: int = delay
reads = process.take(4)[0]
reads.sum()
advice = tauscope.advise(lr=0.1, to_delay=3)
if advice.recommendation is not None:
    lr: float = advice.recommendation.lr
rows: int = tauscope.open("folder").thresholds.rows
equation = tauscope.characteristic("sgd", 2)
roots = np.abs(equation.roots(0.5))
swept = tauscope.sweep(
    model="quadratic:1,0.3", rules=["sgd", "shifted"], delays=range(5), momentum=np.linspace(0.1, 0.9, 5), batch=[4, "full"],
    dampening="ema", seed_order=np.int64(7), engine="cpu", out=pathlib.Path("out"), resume=True,
)
known: list[str] = swept.names
trained = tauscope.train("plan.toml", lr=[0.1, 0.2], seeds=3, sharpness=True, track="sharpness", flip=True, precision="f32")
verdict = judge(1.0, "sgd", 0.1, trace=staleness("log.jsonl", updates=4))
margin: float = verdict.margin
"""

#: Calls that a type checker refuses, each for the keyword that is wrong.
WRONG = {
    "engine": 'tauscope.sweep(engine="tpu")',
    "delays": "tauscope.sweep(delays={1: 2})",
    "rules": "tauscope.train(rules=[1, 2])",
    "flip": 'tauscope.train(flip="yes")',
    "model": "tauscope.sweep(model=16)",
    "learning_rate": "tauscope.train(learning_rate=0.1)",
}


def test_the_package_and_its_users_pass_mypy_strict(tmp_path):
    package = Path(tauscope.__file__).parent
    assert (package / "py.typed").exists() and (package / "_core.pyi").exists()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    modules = sorted(path.stem for path in package.glob("*.py") if path.stem != "__init__")
    named = [word for module in ("", "._core", *(f".{module}" for module in modules)) for word in ("-m", f"tauscope{module}")]
    # Libraries without types are those of others.
    command = [sys.executable, "-m", "mypy", "--strict", "--disable-error-code=import-untyped", "--python-version=3.10"]
    command.append(f"--cache-dir={tmp_path / 'cache'}")
    for words in (named, [str(program)]):
        told = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import tauscope\n" + "\n".join(WRONG.values()) + "\n")
    told = subprocess.run([*command, str(wrong)], capture_output=True, text=True, cwd=tmp_path, check=False)
    for line, keyword in enumerate(WRONG, start=2):
        found = [said for said in told.stdout.splitlines() if said.startswith(f"wrong.py:{line}: error: ")]
        assert len(found) >= 1, f"{keyword}: {told.stdout}"


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("activation", _jobs.Activation), ("loss", _jobs.Loss), ("sampling", _jobs.Sampling), ("engine", _jobs.Engine),
        ("precision", _jobs.Precision), ("lr_reference", _jobs.LrReference), ("track", _jobs.Track),
    ],
)
def test_values_that_the_types_list_are_those_that_the_command_line_takes(keyword, values):
    with pytest.raises(ValueError) as raised:
        tauscope.train(dry_run=True, **{keyword: "no such value"})
    accepted = re.search(r"accepted: (.*)$", str(raised.value))
    # A list of several of them is typed with commas.
    single = [value for value in typing.get_args(values) if "," not in value]
    assert accepted is not None and accepted[1].split(", ") == single
