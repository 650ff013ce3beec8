"""Sweeps and trainings from Python: keywords as the flags, progress, and the results folder as tables."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from . import _call, _core
from ._results import Results

#: A value as typed, a number, or a list of them.
Value = Any


def sweep(
    plan: str | os.PathLike[str] | None = None,
    *,
    data: Value = None,
    samples: Value = None,
    model: Value = None,
    activation: Value = None,
    loss: Value = None,
    weight_decay: Value = None,
    minimum: Value = None,
    minimum_from: Value = None,
    minimum_evaluations: Value = None,
    map: Value = None,  # noqa: A002
    gradient_tolerance: Value = None,
    rules: Value = None,
    momentum: Value = None,
    dampening: Value = None,
    delays: Value = None,
    schedule: Value = None,
    batch: Value = None,
    sampling: Value = None,
    seed_data: Value = None,
    criterion: Value = None,
    seed_order: Value = None,
    seed_init: Value = None,
    tolerance: Value = None,
    horizon: Value = None,
    ensemble: Value = None,
    top: Value = None,
    engine: Value = None,
    adapter: Value = None,
    precision: Value = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    resume: bool = False,
    checkpoint_every: Value = None,
    shard: Value = None,
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
        `lr_threshold` beside `lr_theory`. With `dry_run=True` a dict of what would be run.

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
    data: Value = None,
    samples: Value = None,
    model: Value = None,
    activation: Value = None,
    loss: Value = None,
    weight_decay: Value = None,
    test: Value = None,
    flip: bool = False,
    crop: Value = None,
    init: Value = None,
    map: Value = None,  # noqa: A002
    rules: Value = None,
    momentum: Value = None,
    dampening: Value = None,
    delays: Value = None,
    schedule: Value = None,
    batch: Value = None,
    sampling: Value = None,
    seed_data: Value = None,
    lr: Value = None,
    lr_scaling: Value = None,
    lr_reference: Value = None,
    relative_variance: Value = None,
    seeds: Value = None,
    epochs: Value = None,
    regime: Value = None,
    warm_up: Value = None,
    evaluate_every: Value = None,
    sharpness: Value = None,
    track: Value = None,
    track_every: Value = None,
    engine: Value = None,
    adapter: Value = None,
    precision: Value = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    resume: bool = False,
    checkpoint_every: Value = None,
    shard: Value = None,
    trace_runs: bool = False,
    dry_run: bool = False,
    save_weights: bool = False,
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
            unit = "cell" if "cells" in event else "run"
            self._begin(unit, event[f"{unit}s"], event[f"{unit}s_done"])
        elif kind == "end":
            self.folder = event["folder"]
        elif self._bar is not None and kind in ("cell", "run"):
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
