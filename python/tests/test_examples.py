"""Programs of python/examples that need no PyTorch, run as a reader runs them. The GPT is in test_torch_examples.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np

import tauscope

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, *words, folder):
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=600)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_every_example_is_run_by_a_test():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*examples.py"))
    for example in EXAMPLES.glob("*.py"):
        assert f'"{example.name}"' in tests, f"no test runs {example.name}"


def test_the_notebook_sweeps_prints_and_draws(tmp_path):
    told = run("sweep.py", "swept", folder=tmp_path)
    table = tauscope.open(tmp_path / "swept").thresholds
    assert table.rows == 12 and told.count("\n") == 1 + 12 + 4 + 1
    np.testing.assert_allclose(table["lr_threshold"], table["lr_theory"], rtol=0.01)
    assert "delay 16: shifted, up to lr 0.1226" in told
    assert (tmp_path / "swept" / "from-python.png").stat().st_size > 10_000
    # A finished folder is opened, and not swept anew.
    assert run("sweep.py", "swept", folder=tmp_path) == told


def test_a_jax_training_fails_under_delay_and_does_not_at_what_is_advised(tmp_path):
    told = run("jax_training.py", folder=tmp_path).splitlines()
    losses = {line[:18].strip(): [float(word) for word in line[18:].split()] for line in told[-3:]}
    assert "delay 0: stable" in told[2] and "delay 4: unstable" in told[3], told
    start = float(told[0].split()[-1])
    assert max(losses["no delay"]) <= start and max(losses["delay 4, advised"]) <= start + 1e-4
    assert losses["delay 4"][-1] > 10 * start


def test_shards_on_hyperqueue_outlive_a_killed_worker_and_merge_to_the_same_bytes(tmp_path):
    told = run("hyperqueue_shards.py", "shards", folder=tmp_path)
    assert "thresholds.csv: the same bytes" in told and "DIFFERENT" not in told
    killed = next(line.split()[4] for line in told.splitlines() if line.startswith("killed the worker of "))
    log = (tmp_path / "shards" / f"{killed}.log").read_text(encoding="utf-8")
    assert "cells are in the journal" in log, "the shard did not go on from its journal"
