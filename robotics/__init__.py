"""Laboratory drivers, recipes, safety and the queue. Adding a driver is a file here and a line in `DRIVERS`."""

from __future__ import annotations

from typing import Final

DRIVERS: Final = {
    "simulated": "robotics.simulated:SimulatedLab",
    "file_drop": "robotics.file_drop:FileDropLab",
}
