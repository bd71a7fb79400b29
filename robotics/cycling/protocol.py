"""The cycling protocol inside a voltage window, and our own check of every step against it.

Widespread protocol libraries accept steps beyond their own safety block (a charge to 9 V with a limit of 5 V), so the
check here depends on nothing but the record.
"""

from __future__ import annotations

from collections.abc import Iterator

from redoxa.data.lab.recipe import ConstantCurrent, ConstantVoltage, Cycling, CyclingStep, Rest
from redoxa.robotics.cycling.currents import Currents, Rates
from redoxa.robotics.cycling.window import Window

FORMATION_CYCLES = 3
FORMATION_RATE_C = 0.05
RATE_C = 0.2
CV_END_FRACTION = 0.25
"""The voltage is held until the current has fallen to this fraction of the charging current."""
MOST_CV_END_FRACTION = 0.5
"""A cut-off is raised to this fraction at most, where a cycler cannot resolve a smaller current."""
CYCLES = 20
FIRST_REST_H = 6.0
TIME_FACTOR = 2.0
"""Every step ends after this many times its theoretical duration, whatever the voltage does."""


RATES = Rates(RATE_C, FORMATION_RATE_C, FORMATION_RATE_C * MOST_CV_END_FRACTION)
"""What the protocol asks of a cycler."""


def plan_cycling(window: Window, currents: Currents) -> Cycling:
    """Rest, three formation cycles at C/20, then cycles at C/5, all CC-CV on charge.

    Charging comes first: the material is made discharged, that is, with its working ions inside. A positive rate takes
    them out.
    """
    formation: list[CyclingStep] = [Rest(time_s=FIRST_REST_H * 3600)]
    for _ in range(FORMATION_CYCLES):
        formation += _cycle(window, currents, FORMATION_RATE_C)
    return Cycling(
        nominal_capacity_mAh_g=round(window.capacity_mAh_g, 2),
        capacity_definition=window.capacity_definition,
        min_voltage_V=window.low_V,
        max_voltage_V=window.high_V,
        window_from=window.text,
        reached_fraction=round(window.reached_fraction, 4),
        one_C_mA=round(currents.one_C_mA, 6),
        range_mA=currents.range_mA,
        cycler=currents.cycler,
        note="; ".join(filter(None, (currents.note, _raised(currents)))),
        formation=tuple(formation),
        steps=tuple(_cycle(window, currents, RATE_C)),
        cycles=CYCLES,
    )


def _raised(currents: Currents) -> str:
    """Which holds end at a larger current than usual, and why; empty where none does."""
    usual = [rate * CV_END_FRACTION for rate in (FORMATION_RATE_C, RATE_C)]
    changed = [f"{currents.cut_off_C(x):g} C instead of {x:g} C" for x in usual if currents.cut_off_C(x) != x]
    if not changed:
        return ""
    return (
        f"holds end at {', '.join(changed)}: {1000 * currents.least_mA:.3g} uA is the least that the range of "
        f"{currents.range_mA:g} mA gives to a tenth"
    )


def theoretical_time_s(rate_C: float) -> float:
    """Time in which a current of `rate_C` moves the nominal capacity."""
    return 3600 / abs(rate_C)


def _cycle(window: Window, currents: Currents, rate_C: float) -> list[CyclingStep]:
    low_V, high_V, cut_off_C = window.low_V, window.high_V, currents.cut_off_C(rate_C * CV_END_FRACTION)
    limit_s = TIME_FACTOR * theoretical_time_s(rate_C)
    return [
        ConstantCurrent(rate_C=rate_C, until_voltage_V=high_V, time_limit_s=limit_s),
        ConstantVoltage(voltage_V=high_V, until_rate_C=cut_off_C, time_limit_s=theoretical_time_s(rate_C)),
        ConstantCurrent(rate_C=-rate_C, until_voltage_V=low_V, time_limit_s=limit_s),
    ]


def all_steps(cycling: Cycling) -> Iterator[tuple[str, CyclingStep]]:
    """Every distinct step with a name for messages."""
    for name, steps in (("formation", cycling.formation), ("cycle", cycling.steps)):
        for i, step in enumerate(steps, start=1):
            yield f"{name} step {i}", step


def longest_time_s(cycling: Cycling) -> float:
    """Time after which the protocol has ended even if no voltage is ever reached."""

    def seconds(steps: tuple[CyclingStep, ...]) -> float:
        return sum(step.time_s if isinstance(step, Rest) else step.time_limit_s for step in steps)

    return seconds(cycling.formation) + cycling.cycles * seconds(cycling.steps)


def check_steps(cycling: Cycling, max_rate_C: float) -> list[str]:
    """What is wrong with the steps; empty when each stays in the window, makes sense and ends in time."""
    low, high = cycling.min_voltage_V, cycling.max_voltage_V
    problems = [] if low < high else [f"the window {low:g} to {high:g} V is empty"]
    if not cycling.steps:
        problems.append("there is nothing to cycle")
    level_V: float | None = None
    for name, step in all_steps(cycling):
        if isinstance(step, Rest):
            continue
        target_V = step.until_voltage_V if isinstance(step, ConstantCurrent) else step.voltage_V
        if not low <= target_V <= high:
            problems.append(f"{name} goes to {target_V:g} V, outside {low:g} to {high:g} V")
        problems += [f"{name}: {text}" for text in _step_problems(step, level_V, max_rate_C)]
        level_V = target_V
    return problems


def _step_problems(step: ConstantCurrent | ConstantVoltage, level_V: float | None, max_rate_C: float) -> Iterator[str]:
    """Rate, direction and time limit of one step that starts from `level_V` (None: unknown)."""
    rate = step.rate_C if isinstance(step, ConstantCurrent) else step.until_rate_C
    if rate == 0 or abs(rate) > max_rate_C:
        yield f"a rate of {rate:g} C is not within 0 to {max_rate_C:g} C"
        return
    longest_s = TIME_FACTOR * theoretical_time_s(rate) * 1.001
    if step.time_limit_s > longest_s:
        yield f"may last {step.time_limit_s / 3600:g} h, more than twice the theoretical {longest_s / 7200:g} h"
    if isinstance(step, ConstantCurrent) and level_V is not None:
        wrong_way = (step.until_voltage_V - level_V) * rate < 0
        if wrong_way:
            way = "charges" if rate > 0 else "discharges"
            yield f"{way} from {level_V:g} V to {step.until_voltage_V:g} V, which is the wrong way"
