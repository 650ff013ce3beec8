"""`staleness`: the log of an asynchronous training, as it is, into delays for `trace=`.

Not here: tables of delays, which `trace=` reads by itself, and what follows from delays (`judge`, `tauscope.threshold`).
"""

from __future__ import annotations

import csv
import json
import math
import operator
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

#: Metrics that are looked for where none is named: the oldest weights that a step's samples come from, in versions.
_KNOWN = (
    "training/off_policy/trajectory_staleness_worst/max",  # verl, trainer v1
    "ppo_actor/update/version_stats/sample_staleness_theta_max",  # AReaL
)

#: A record by where it stands in the log.
_Record = Tuple[str, Dict[str, Any]]


def staleness(log: Union[str, "os.PathLike[str]"], metric: Optional[str] = None, *, updates: int = 1) -> List[int]:
    """Reads recorded staleness out of the log of an asynchronous training, as delays for `trace=`.

    Reads JSON lines (verl's `file` logger, whose metrics stand under "data", or one flat object a line), CSV (with a
    header), and events of TensorBoard, a file or the folder of a run, where `tensorboard` is installed. Records without the
    metric, as those of validations, are left out.

    Args:
        log: The file or folder.
        metric: Name of the metric; by default the one of verl or AReaL that tells the oldest weights of each step.
        updates: Updates of the optimizer from one version of the weights to the next. Staleness counts versions, delays count
            updates.

    Returns:
        A delay for each record, in updates. Means over samples or ranks are rounded up.

    Raises:
        FileNotFoundError: No such log.
        ValueError: No such metric, or a value that is no staleness.
        ImportError: TensorBoard's events without its package.
    """
    if not isinstance(log, (str, os.PathLike)):
        raise TypeError(f"log {log!r}; accepted: a path")
    path = Path(log)
    if not path.exists():
        raise FileNotFoundError(f"log {path}: not there; accepted: JSON lines, CSV, or events of TensorBoard")
    if isinstance(updates, bool) or not hasattr(updates, "__index__") or operator.index(updates) < 1:
        raise ValueError(f"updates {updates!r}; accepted: a whole number from 1 on, the optimizer's steps for each version")
    is_events = path.is_dir() or ".tfevents." in path.name
    try:
        records = list(_events(path) if is_events else _lines(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"log {path}: no text in UTF-8 ({error}); accepted: JSON lines, CSV, or events of TensorBoard") from None
    names = list(dict.fromkeys(name for _, record in records for name in record))
    if metric is None:
        metric = next((known for known in _KNOWN if known in names), None)
        if metric is None:
            raise ValueError(f"log {path}: none of {', '.join(_KNOWN)}; accepted: metric=, {_shown(names)}")
    if metric not in names:
        raise ValueError(f"metric {metric!r} is not in {path}; accepted: {_shown(names)}")
    found = [_delay(record[metric], where, metric, updates) for where, record in records if record.get(metric) not in (None, "")]
    if not found:
        raise ValueError(f"log {path}: {metric} has no values; accepted: a number at least in one record")
    return found


def _delay(value: Any, where: str, metric: str, updates: int) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number < math.inf:
        raise ValueError(f"{where}: {metric} is {value!r}; accepted: numbers of versions from 0 on")
    # Means of whole numbers may miss them by a rounding.
    return math.ceil(number * updates - 1e-6)


def _lines(path: Path) -> Iterator[_Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        file.seek(0)
        if not first.lstrip("\ufeff").startswith("{"):
            rows = csv.DictReader(file)
            for row in rows:
                yield f"{path}, line {rows.line_num}", {name: cell for name, cell in row.items() if name is not None}
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{where}: {error.msg}; accepted: one JSON object a line") from None
            if not isinstance(record, dict):
                raise ValueError(f"{where}: a {type(record).__name__}; accepted: one JSON object a line")
            inner = record.get("data")
            yield where, {**record, **inner} if isinstance(inner, dict) else record


def _events(path: Path) -> Iterator[_Record]:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise ImportError(f"log {path}: events of TensorBoard are read by its package; accepted: pip install tensorboard") from None
    # All values, where TensorBoard itself shows a sample of them.
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            yield f"{path}, step {event.step}", {tag: event.value}


def _shown(names: List[str]) -> str:
    if not names:
        return "a log that is not empty"
    likely = [name for name in names if "stale" in name] or names
    return "one of " + ", ".join(likely[:6]) + (", ..." if len(likely) > 6 else "")
