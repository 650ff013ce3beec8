"""The command line `tauscope`, from the wheel: `tauscope ...` and `python -m tauscope ...`."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig

from . import _call, _core


def main() -> int:
    """Does what the words of this process say, as the program `tauscope` does, and returns its exit code."""
    # Signals are the program's, as in a process without Python.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _call.quiet_mesa()
    script = os.path.join(sysconfig.get_path("scripts"), "tauscope")
    program = script if os.path.exists(script) else os.path.abspath(sys.argv[0])
    return _core.main(["tauscope", *sys.argv[1:]], program)


if __name__ == "__main__":
    sys.exit(main())
