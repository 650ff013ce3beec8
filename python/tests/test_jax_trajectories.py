"""`tauscope.optax.delayed` beside `tauscope train`: same start, same minibatches, same delays, both in f64.

The two share the draws of slots alone: gradients and updates are those of JAX and optax on one side and the engine's on the
other.
"""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

from tauscope.optax import delayed, read

jax.config.update("jax_enable_x64", True)

#: Relative to the largest weight.
CLOSE = 1e-12

DECAY = 0.01

#: A small network for 200 steps.
SMALL = "--data synthetic:clusters:classes=3:shape=1x2x3:samples=64 --model mlp:5 --batch 16 --epochs 50"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def trained(out, flags):
    """Runs `tauscope train` in f64 with a trace of each step; its runs."""
    kept = "--engine cpu --precision f64 --quiet --save-weights --trace-runs --lr-scaling none --seeds 1"
    command = [sys.executable, "-m", "tauscope", "train", *SMALL.split(), *kept.split()]
    done = subprocess.run(
        [*command, "--weight-decay", str(DECAY), "--out", str(out), *flags.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return rows(out / "runs.csv")


def optimizer(run):
    """optax's optimizer for the rule of a run; decay that is part of the objective is in the loss."""
    rule, _, number = run["rule"].partition(":")
    lr, momentum = float(run["lr"]), float(run["momentum"])
    if rule == "adam":
        return optax.adam(lr, b1=momentum, b2=float(number))
    if rule == "adamw":
        return optax.adamw(lr, b1=momentum, b2=float(number), weight_decay=DECAY)
    return optax.sgd(lr, momentum=momentum or None, nesterov=rule == "nesterov")


def check(run, out, **process):
    samples = load_file(out / "traces" / "samples.safetensors")
    inputs, labels = jnp.asarray(samples["inputs"], jnp.float64), jnp.asarray(samples["labels"])
    params = {k: jnp.asarray(v, jnp.float64) for k, v in load_file(out / "traces" / f"start-{run['seed']}.safetensors").items()}
    end = load_file(out / "weights" / f"{run['run_id']}.safetensors")
    steps = rows(out / "traces" / f"{run['run_id']}.csv")
    coupled = 0.0 if run["rule"].startswith("adamw") else DECAY
    first, last = sorted({name.rpartition(".")[0] for name in params})

    def loss(params, batch):
        hidden = jnp.tanh(inputs[batch] @ params[f"{first}.weight"].T + params[f"{first}.bias"])
        outputs = hidden @ params[f"{last}.weight"].T + params[f"{last}.bias"]
        squares = sum(jnp.sum(p**2) for p in params.values())
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels[batch]).mean() + coupled / 2 * squares

    transform = delayed(optimizer(run), seed=int(run["seed"]), **process)

    @jax.jit
    def step(params, state, batch):
        updates, state = transform.update(jax.grad(loss)(read(state, params), batch), state, params)
        return optax.apply_updates(params, updates), state

    state = transform.init(params)
    for row in steps:
        assert int(state.delay) == int(row["delay"])
        params, state = step(params, state, jnp.asarray([int(index) for index in row["rows"].split()]))
    assert len(steps) == 200
    largest = max(np.abs(end[name]).max() for name in params)
    for name, value in params.items():
        assert np.abs(np.asarray(value) - end[name]).max() <= CLOSE * largest, (run["rule"], run["schedule"], run["delay"])


@pytest.mark.parametrize("schedule", ["round-robin", "random"])
def test_a_delayed_transformation_makes_the_trajectory_of_tauscope_train(tmp_path: Path, schedule: str) -> None:
    out, rules = tmp_path / "out", "--rules sgd,heavy-ball,nesterov,adam,adamw --momentum 0.9 --dampening 0"
    runs = trained(out, f"{rules} --schedule {schedule} --delays 0,1,4,16 --lr 0.02")
    assert len({run["delay"] for run in runs}) == 4 and len({run["rule"] for run in runs}) == 5
    for run in runs:
        check(run, out, delay=int(run["delay"]), schedule=schedule)


def test_a_recorded_trace_makes_the_trajectory_of_tauscope_train_from_its_file_and_from_its_numbers(tmp_path: Path) -> None:
    recorded, file, out = [0, 3, 1, 1, 7, 2], tmp_path / "trace.csv", tmp_path / "out"
    file.write_text("delay\n" + "\n".join(map(str, recorded)) + "\n")
    for run in trained(out, f"--rules sgd,adamw --schedule trace:{file} --lr 0.02"):
        check(run, out, trace=file)
        check(run, out, trace=recorded)
