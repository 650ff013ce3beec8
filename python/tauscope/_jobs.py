"""Sweeps and trainings from Python: keywords as the flags, progress, and the results folder as tables."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy.typing as npt

from . import _call, _core
from ._results import Results

if TYPE_CHECKING:
    import numpy as np

#: One number, or text as typed.
Number = Union[int, float, str, "np.integer[Any]", "np.floating[Any]"]
#: Numbers, or text as typed: `[0, 1, 4]`, `range(5)`, `"0..=4"`.
Numbers = Union[Number, Sequence[Number], npt.NDArray[Any]]
#: Names, or text as typed: `["sgd", "shifted"]`, `"sgd,shifted"`.
Names = Union[str, Sequence[str]]
File = Union[str, "os.PathLike[str]"]
Activation = Literal["tanh", "relu", "leaky-relu", "gelu"]
Loss = Literal["ce", "mse"]
Sampling = Literal["epochs", "independent"]
LrReference = Literal["same", "sgd"]
Engine = Literal["auto", "cpu", "gpu"]
Precision = Literal["auto", "f32", "f64"]
Track = Literal[
    "sharpness",
    "preconditioned-sharpness",
    "generalised-sharpness",
    "sharpness,preconditioned-sharpness",
    "sharpness,generalised-sharpness",
]


def sweep(
    plan: str | os.PathLike[str] | None = None,
    *,
    data: File | None = None,
    samples: Number | None = None,
    model: str | None = None,
    activation: Activation | None = None,
    loss: Loss | None = None,
    weight_decay: Number | None = None,
    minimum: File | None = None,
    minimum_from: File | None = None,
    minimum_evaluations: Number | None = None,
    map: Names | None = None,  # noqa: A002
    preconditioner: File | None = None,
    gradient_tolerance: Number | None = None,
    rules: Names | None = None,
    momentum: Numbers | None = None,
    dampening: Numbers | None = None,
    eps: Numbers | None = None,
    extrapolate: Numbers | None = None,
    clip: Numbers | None = None,
    muon_adam_lr: Numbers | None = None,
    delays: Numbers | None = None,
    schedule: Names | None = None,
    batch: Numbers | None = None,
    sampling: Sampling | None = None,
    seed_data: Number | None = None,
    local_steps: Numbers | None = None,
    local_lr: Numbers | None = None,
    local_rule: Names | None = None,
    replicas: Numbers | None = None,
    fresh_share: Numbers | None = None,
    overlap: Numbers | None = None,
    overlap_weight: Numbers | None = None,
    arrivals: Names | None = None,
    stages: Numbers | None = None,
    stage_delays: Names | None = None,
    stage_lr: Names | None = None,
    stage_momentum: Names | None = None,
    stage_cuts: Names | None = None,
    stashing: Names | None = None,
    backward_delays: Names | None = None,
    criterion: Names | None = None,
    seed_order: Number | None = None,
    seed_init: Number | None = None,
    tolerance: Number | None = None,
    horizon: Number | None = None,
    ensemble: Number | None = None,
    rates: Numbers | None = None,
    top: Number | None = None,
    engine: Engine | None = None,
    adapter: Number | None = None,
    precision: Precision | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    resume: bool = False,
    checkpoint_every: str | None = None,
    shard: str | None = None,
    trace_runs: bool = False,
    dry_run: bool = False,
    extend: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Results:
    """Measures the largest stable learning rate of every cell of a grid, as `tauscope sweep` does.

    Keywords are named as its flags, with their defaults and checks; values are text as typed, numbers, or lists. What each
    flag means is in `tauscope sweep --help` and docs/measurement.md.

    Ctrl-C stops it at the next safe place, within a second unless a step of all its runs takes longer: the unfinished folder
    is kept, and the same call with `resume=True` goes on. The interpreter's lock is free meanwhile.

    Args:
        plan: A TOML file with any of the flags as keys; keywords win over it.
        out: Results folder; must not exist. By default tauscope-DATE-TIME where Python runs.
        progress: Whether tqdm shows how far it is, where it is installed and someone watches.

    Returns:
        The results folder: `results.thresholds` has a row for each cell, with `lr_stable`, `lr_unstable` and
        `lr_threshold` beside `lr_theory`; with `rates=` it is `results["rates"]`, with `updates_per_efold` beside `updates_theory`. With `dry_run=True` a dict of what would be run.

    Raises:
        ValueError: A value out of its range, or one that contradicts another.
        FileNotFoundError: A file or folder that is not there.
        FileExistsError: A results folder that is there already.
        RuntimeError: Cells that failed, or a device that broke.

    Examples:
        >>> results = tauscope.sweep(model="quadratic:1,0.3", rules="sgd", delays=[0, 1], engine="cpu", out=folder)
        >>> results.thresholds["lr_threshold"].round(1)
        array([2., 1.])
    """
    results: Results = _run("sweep", _call.given(locals(), "progress"), progress)
    return results


def train(
    plan: str | os.PathLike[str] | None = None,
    *,
    data: File | None = None,
    samples: Number | None = None,
    model: str | None = None,
    activation: Activation | None = None,
    loss: Loss | None = None,
    weight_decay: Number | None = None,
    test: Number | None = None,
    flip: bool = False,
    crop: Number | None = None,
    init: File | None = None,
    map: Names | None = None,  # noqa: A002
    rules: Names | None = None,
    momentum: Numbers | None = None,
    dampening: Numbers | None = None,
    eps: Numbers | None = None,
    extrapolate: Numbers | None = None,
    clip: Numbers | None = None,
    muon_adam_lr: Numbers | None = None,
    delays: Numbers | None = None,
    schedule: Names | None = None,
    batch: Numbers | None = None,
    sampling: Sampling | None = None,
    seed_data: Number | None = None,
    local_steps: Numbers | None = None,
    local_lr: Numbers | None = None,
    local_rule: Names | None = None,
    replicas: Numbers | None = None,
    fresh_share: Numbers | None = None,
    overlap: Numbers | None = None,
    overlap_weight: Numbers | None = None,
    arrivals: Names | None = None,
    stages: Numbers | None = None,
    stage_delays: Names | None = None,
    stage_lr: Names | None = None,
    stage_momentum: Names | None = None,
    stage_cuts: Names | None = None,
    stashing: Names | None = None,
    backward_delays: Names | None = None,
    lr: Numbers | None = None,
    lr_scaling: Names | None = None,
    lr_reference: LrReference | None = None,
    relative_variance: Number | None = None,
    seeds: Numbers | None = None,
    epochs: Number | None = None,
    regime: str | None = None,
    warm_up: Number | None = None,
    evaluate_every: Number | None = None,
    sharpness: Number | bool | None = None,
    track: Track | Sequence[Track] | None = None,
    track_every: Number | None = None,
    engine: Engine | None = None,
    adapter: Number | None = None,
    precision: Precision | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    resume: bool = False,
    checkpoint_every: str | None = None,
    shard: str | None = None,
    trace_runs: bool = False,
    dry_run: bool = False,
    save_weights: bool = False,
    save_state: bool = False,
    progress: bool = True,
) -> Results:
    """Trains every run of a grid from scratch under delay, as `tauscope train` does.

    Keywords are named as its flags, with their defaults and checks; values are text as typed, numbers, or lists. What each
    flag means is in `tauscope train --help` and docs/training.md. A run that diverges is a result.

    Ctrl-C stops it at the next safe place, within a second unless a step of all its runs takes longer: the unfinished folder
    is kept, and the same call with `resume=True` goes on. The interpreter's lock is free meanwhile.

    Args:
        plan: A TOML file with any of the flags as keys; keywords win over it.
        seeds: A number of seeds (from 0), or a list of at least two, or text as typed.
        out: Results folder; must not exist. By default tauscope-DATE-TIME where Python runs.
        progress: Whether tqdm shows how far it is, where it is installed and someone watches.

    Returns:
        The results folder: `results.summary` has a row for each group of runs that differ in their seed alone,
        `results.runs` one for each run, `results["metrics"]` the losses and accuracies along the way. With `dry_run=True` a
        dict of what would be run.

    Raises:
        ValueError: A value out of its range, or one that contradicts another.
        FileNotFoundError: A file or folder that is not there.
        FileExistsError: A results folder that is there already.
        RuntimeError: Runs that failed, or a device that broke.
    """
    results: Results = _run("train", _call.given(locals(), "progress"), progress)
    return results


def _run(command: str, keywords: Mapping[str, Any], progress: bool) -> Any:
    if keywords["resume"] and keywords["out"] is None and keywords["plan"] is None:
        raise ValueError("resume without out, which names the unfinished folder; accepted: with out")
    _call.quiet_mesa()
    if keywords["dry_run"]:
        return json.loads(_call.output(command, {**keywords, "json": True}))
    watcher = Watcher(progress)
    with watcher:
        _core.call(_call.words(command, {**keywords, "json": True}), watcher.take)
    return Results(watcher.folder, watcher.notes)


class Watcher:
    """Takes the events of a job: shows progress, passes warnings on, and learns where the folder is."""

    def __init__(self, progress: bool) -> None:
        self.notes: list[str] = []
        self.folder = ""
        self._rest = ""
        self._bar: Any = None
        self._shows = progress and ("ipykernel" in sys.modules or sys.stderr.isatty())

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def take(self, is_stderr: bool, said: str) -> None:
        """Takes text as it comes: events on stdout, one JSON object a line, and lines on stderr."""
        if is_stderr:
            for line in said.splitlines():
                if line.startswith("warning: "):
                    warnings.warn(line[len("warning: ") :], RuntimeWarning, stacklevel=4)
                elif not line.startswith("progress "):
                    self.notes.append(line)
            return
        *lines, self._rest = (self._rest + said).split("\n")
        for line in lines:
            self._event(json.loads(line))

    def _event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "start":
            unit = next(unit for unit in ("cell", "rate", "run") if f"{unit}s" in event)
            self._begin(unit, event[f"{unit}s"], event[f"{unit}s_done"])
        elif kind == "end":
            self.folder = event["folder"]
        elif self._bar is not None and kind in ("cell", "rate", "run"):
            self._bar.update(1)
        elif self._bar is not None and kind == "progress":
            self._bar.set_postfix_str(f"{event['runs_alive']} runs alive")

    def _begin(self, unit: str, units: int, done: int) -> None:
        if not self._shows:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=units, initial=done, unit=unit)
