"""Cycling of a cell in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redoxa.data.lab.recipe import ConstantCurrent, ConstantVoltage, Cycling, CyclingStep
from redoxa.pipeline.pages.kit.text import duration, number


@dataclass(frozen=True)
class ProtocolPart:
    """Cycling steps, and how many times they are done one after the other."""

    times: int
    lines: tuple[str, ...]


def protocol(cycling: Cycling) -> tuple[ProtocolPart, ...]:
    """Formation and cycling in words; a formation that repeats itself is told once."""
    return (*_folded(_lines(cycling.formation)), ProtocolPart(cycling.cycles, _lines(cycling.steps)))


def _folded(lines: tuple[str, ...]) -> list[ProtocolPart]:
    """Lines as a start that is done once and a block that is repeated to the end, the shortest such block first."""
    for length in range(1, len(lines) // 2 + 1):
        for start in range(len(lines) - 2 * length + 1):
            times, rest = divmod(len(lines) - start, length)
            if rest == 0 and lines[start : start + length] * times == lines[start:]:
                once = [ProtocolPart(1, lines[:start])] if start else []
                return [*once, ProtocolPart(times, lines[start : start + length])]
    return [ProtocolPart(1, lines)] if lines else []


def _lines(steps: Sequence[CyclingStep]) -> tuple[str, ...]:
    lines = []
    for step in steps:
        if isinstance(step, ConstantCurrent):
            verb = "Charge" if step.rate_C > 0 else "Discharge"
            lines.append(f"{verb} at {_rate(step.rate_C)} to {number(step.until_voltage_V, 2)} V")
        elif isinstance(step, ConstantVoltage):
            lines.append(f"Hold {number(step.voltage_V, 2)} V until the current is below {_rate(step.until_rate_C)}")
        else:
            lines.append(f"Rest {duration(step.time_s)}")
    return tuple(lines)


def _rate(rate_C: float) -> str:
    rate = abs(rate_C)
    return f"C/{1 / rate:.0f}" if 0 < rate < 0.95 else f"{rate:g}C"
