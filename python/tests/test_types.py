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
    modules = sorted(path.stem for path in package.glob("*.py") if path.stem != "__init__")
    named = [word for module in ("", "._core", *(f".{module}" for module in modules)) for word in ("-m", f"tauscope{module}")]
    # Libraries without types are those of others.
    command = [sys.executable, "-m", "mypy", "--strict", "--disable-error-code=import-untyped", "--python-version=3.10"]
    command.append(f"--cache-dir={tmp_path / 'cache'}")
    for words in (named, [str(program)]):
        told = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
