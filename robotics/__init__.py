"""Laboratory drivers, recipes, safety and the queue. Adding a driver is a file here and a line in `DRIVERS`."""

from __future__ import annotations

from typing import Final

DRIVERS: Final = {
    "simulated": "redoxa.robotics.simulated:SimulatedLab",
    "file_drop": "redoxa.robotics.file_drop:FileDropLab",
}
