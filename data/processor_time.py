"""Processor time: what computing costs, whatever else the machine does meanwhile."""

from __future__ import annotations

import os
import time


def processor_s() -> float:
    """Processor time in seconds of this process with all its threads, and of its children that have ended.

    Differences count. Waiting is no part of it, nor is the time of a GPU.
    """
    return time.process_time() + sum(os.times()[2:4])
