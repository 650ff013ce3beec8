"""Commands with keyword arguments: keywords become the words of the command line, whose parser checks them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Callable, TypeVar

import numpy as np

from . import _core

Result = TypeVar("Result")


def words(command: str, keywords: Mapping[str, object]) -> list[str]:
    """Words of a command line. Keywords that are None or False are left out; True is a flag without a value."""
    found = ["tauscope", command]
    for name, value in keywords.items():
        if value is None or value is False:
            continue
        if name == "plan":
            found.append(os.fspath(value))  # type: ignore[call-overload]
        elif value is True:
            found.append(f"--{flag(name)}")
        else:
            found.append(f"--{flag(name)}={text(name, value)}")
    return found


def flag(name: str) -> str:
    """Name of a flag, without its dashes, for a keyword."""
    return name.rstrip("_").replace("_", "-")


def text(name: str, value: object) -> str:
    """Text of a value as it would be typed: lists are separated by commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value}: accepted: text, a number, or a list of them")
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return text(name, value.item())
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        return ",".join(text(name, item) for item in value)
    raise TypeError(f"{name}: {value!r}: accepted: text, a number, or a list of them")


def quiet_mesa() -> None:
    """Switches Mesa's layer for choosing an adapter off where it has no Wayland to ask, and would complain on stderr."""
    if not os.environ.get("XDG_RUNTIME_DIR", "").startswith("/"):
        os.environ.setdefault("NODEVICE_SELECT", "1")


def output(command: str, keywords: Mapping[str, object]) -> str:
    """What a command writes to stdout."""
    parts: list[str] = []

    def take(is_stderr: bool, said: str) -> None:
        if not is_stderr:
            parts.append(said)

    _core.call(words(command, keywords), take)
    return "".join(parts)


def given(arguments: dict[str, Any], *without: str) -> dict[str, Any]:
    """Keyword arguments of a function, from its `locals()`, but for some."""
    return {name: value for name, value in arguments.items() if name not in without}


def interruptible(compute: Callable[[], Result]) -> Result:
    """Result of a computation that holds no lock of the interpreter, in a thread of its own: Ctrl-C does not wait for its end."""
    if threading.current_thread() is not threading.main_thread():
        return compute()
    future: "Future[Result]" = Future()

    def run() -> None:
        try:
            future.set_result(compute())
        except BaseException as error:  # Raised again where it is waited for.
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result()


Take = Callable[[bool, str], None]
