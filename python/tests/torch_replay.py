"""Trainings of `tauscope train`, made again in plain PyTorch from their traces.

Not here: what is compared.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

import torch
from safetensors.torch import load_file

WEIGHT_DECAY = 0.01


@dataclass
class Run:
    """A run of a results folder: its row of runs.csv, its steps, and what came of it."""

    row: Dict[str, str]
    steps: List[Dict[str, str]]
    #: Mean objective of each epoch, as its steps saw it.
    objectives: List[float]
    start: Dict[str, torch.Tensor]
    end: Dict[str, torch.Tensor]
    inputs: torch.Tensor
    labels: torch.Tensor

    def __str__(self) -> str:
        return " ".join(self.row[key] for key in ("rule", "momentum", "dampening", "schedule", "delay", "seed"))


#: A small network for 200 steps.
SMALL = "--data synthetic:clusters:classes=3:shape=1x2x3:samples=64 --model mlp:5 --batch 16 --epochs 50"


def train(out: Path, *flags: str, problem: str = SMALL) -> List[Run]:
    """Runs `tauscope train` in f64, with a trace of each step."""
    kept = "--engine cpu --precision f64 --quiet --save-weights --trace-runs --lr-scaling none"
    command = [sys.executable, "-m", "tauscope", "train", *problem.split(), *kept.split()]
    command += ["--weight-decay", str(WEIGHT_DECAY), "--out", str(out), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    samples = load_file(out / "traces" / "samples.safetensors")
    return [_read(out, row, samples) for row in _rows(out / "runs.csv")]


def _read(out: Path, row: Dict[str, str], samples: Dict[str, torch.Tensor]) -> Run:
    name = row["run_id"]
    metrics = [metric for metric in _rows(out / "metrics.csv") if metric["run_id"] == name]
    return Run(
        row=row,
        steps=_rows(out / "traces" / f"{name}.csv"),
        objectives=[float(metric["value"]) for metric in metrics if metric["metric"] == "objective"],
        start=load_file(out / "traces" / f"start-{row['seed']}.safetensors"),
        end=load_file(out / "weights" / f"{name}.safetensors"),
        inputs=samples["inputs"].double(),
        labels=samples["labels"],
    )


def _rows(path: Path) -> List[Dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def network(run: Run) -> torch.nn.Module:
    """The network of a run, at its first weights."""
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    model.load_state_dict(run.start)
    return model


def optimizer(run: Run, parameters: List[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """PyTorch's optimizer for the rule of a run, with its weight decay."""
    rule, _, number = run.row["rule"].partition(":")
    lr, momentum = float(run.row["lr"]), float(run.row["momentum"])
    if rule.endswith(("adam", "adamw")):
        kind = torch.optim.AdamW if rule.endswith("w") else torch.optim.Adam
        # Mixing around them has its share in front: A or A/BETA2, where A may be 1/T.
        beta_2 = number.rpartition("/")[2]
        usual = rule.startswith("mixing") and beta_2 in ("T", number)
        return kind(parameters, lr, betas=(momentum, 0.999 if usual else float(beta_2)), weight_decay=WEIGHT_DECAY)
    return torch.optim.SGD(
        parameters,
        lr,
        momentum=momentum,
        dampening=float(run.row["dampening"] or 0),
        weight_decay=WEIGHT_DECAY,
        nesterov=rule == "nesterov",
    )


def loss_of_step(run: Run, model: torch.nn.Module, step: Dict[str, str]) -> torch.Tensor:
    """The loss over the minibatch of a step, without weight decay."""
    rows = torch.tensor([int(row) for row in step["rows"].split()])
    return torch.nn.functional.cross_entropy(model(run.inputs[rows]), run.labels[rows])
