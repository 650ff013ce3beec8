"""Types: mypy's strict mode over the package, its stubs, and a program that uses them."""

import subprocess
import sys
from pathlib import Path

import tauscope

PROGRAM = """
import numpy as np
import tauscope

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
"""


def test_the_package_and_its_users_pass_mypy_strict(tmp_path):
    package = Path(tauscope.__file__).parent
    assert (package / "py.typed").exists() and (package / "_core.pyi").exists()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    files = [str(path) for path in sorted(package.glob("*.py*")) if path.suffix in (".py", ".pyi")]
    # Each under its own name: the files of the package, then what imports it.
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version=3.10", f"--cache-dir={tmp_path / 'cache'}"]
    for words in (files, [str(program)]):
        told = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
