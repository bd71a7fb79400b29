"""Laboratory drivers, recipes, safety and the queue. Adding a driver is a file here and a line in `DRIVERS`."""

from __future__ import annotations

from typing import Final

from redoxa.data.registry import registered

DRIVERS: Final = registered(
    "drivers",
    {
        "simulated": "redoxa.robotics.drivers.simulated:SimulatedLab",
        "file_drop": "redoxa.robotics.drivers.file_drop:FileDropLab",
    },
)
