"""Free memory of the host, asked before a ring is allocated. Not here: devices, which their frameworks know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

_CGROUP = Path("/sys/fs/cgroup")


def free_on_host() -> Optional[int]:
    """Bytes that can still be allocated; None where that cannot be asked."""
    return min((free for free in (_available(), _left_in_cgroup()) if free is not None), default=None)


def _available() -> Optional[int]:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _left_in_cgroup() -> Optional[int]:
    """What a container may still take. Its page cache counts as free, since the kernel gives it back."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((_CGROUP / "memory.current").read_text())
        lines = (line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        cache = next((int(value) for name, value in lines if name == "inactive_file"), 0)
        return int(limit) - used + cache
    except (OSError, ValueError):
        return None


def shown(size: float) -> str:
    """A number of bytes as people read it: 1.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"
