"""The log of a training: one JSON object a line, with step, losses, rate, and crystals per second."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

OnLog = Callable[[dict[str, float]], None]
"""Called with one line of the log."""


class Tally:
    """Sums of losses, left on their device until a line is written."""

    def __init__(self) -> None:
        self.since, self.steps, self.crystals = time.perf_counter(), 0, 0
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, values: dict[str, torch.Tensor], crystals: int) -> None:
        """One more batch."""
        self.steps, self.crystals = self.steps + 1, self.crystals + crystals
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def pause(self, since: float) -> None:
        """Leave out the time since then (saving, validation) from the speed."""
        self.since += time.perf_counter() - since

    def means(self, count: int) -> dict[str, float]:
        """Sums over `count`."""
        return {name: _short(float(value) / count) for name, value in self.sums.items()}

    def line(self) -> dict[str, float]:
        """Means over the steps, and crystals per second."""
        speed = self.crystals / (time.perf_counter() - self.since)
        return self.means(self.steps) | {"crystals_per_s": _short(speed)}


def _short(value: float) -> float:
    """Six digits."""
    return float(f"{value:.6g}") if math.isfinite(value) else value


def append_line(log: Path, line: dict[str, float]) -> None:
    """Add a line to a log."""
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def cut_log(log: Path, step: int) -> None:
    """Drop what a killed run logged after its last save, and a line that was cut short: it will be logged again."""
    if not log.exists():
        return
    lines = [line for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("}\n")]
    log.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), encoding="utf-8")
