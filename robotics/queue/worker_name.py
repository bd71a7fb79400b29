"""Names of worker processes, by which another one on the same machine knows that they have died."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_worker() -> str:
    """Name of this process: ``host:pid:place:start``, the last two for `has_died` and empty where no /proc tells them.

    Host and pid are for people: containers may have one host name, and each counts its processes from 1.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_place()}:{_start(pid)}"


def has_died(worker: str) -> bool:
    """Whether a worker named by `this_worker` ran where this process does and is gone (its lease need not run out).

    Of another machine or container nothing is known, and nobody is told dead.
    """
    _, pid, place, start = [*worker.split(":"), "", "", ""][:4]
    if not place or place != _place():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return "" not in (start, now := _start(int(pid))) and start != now


def _place() -> str:
    """The running kernel, and the namespace within it that pids are counted in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return f"{boot[:8]}-{os.readlink('/proc/self/ns/pid').strip('pid:[]')}"
    except OSError:
        return ""


def _start(pid: int) -> str:
    """When a process began, in clock ticks of the machine: its pid may be another's by now."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # mounted for other pids than ours
            return ""
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
