"""Figures of one electrode: its voltage profile, and the energy of the ion on its way over a saddle point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from redoxa.data.records import MigrationPath, VoltageStep
from redoxa.pipeline.pages.kit.svg import Scale, axes, join, polyline, span, tag
from redoxa.pipeline.pages.kit.text import Shown, formula_text, number

WIDTH, HEIGHT = 440.0, 270.0
LEFT, RIGHT, BOTTOM = 64.0, 18.0, 56.0
MOST_PATHS = 3

SAME_BARRIER_eV = 0.02
"""Hops that far above the barrier of the way through the crystal still belong to it."""


def profile_plot(
    steps: Sequence[VoltageStep], ion: str, host: str, capacity_mAh_g: float | None, average: Shown | None
) -> Markup:
    """Voltage against the content of ions as stairs, capacity along the top, and the average as a band of one sigma.

    Args:
        steps: plateaus from the charged end.
        ion: working ion.
        host: formula that the content refers to.
        capacity_mAh_g: between the two ends.
        average: average voltage in V.
    """
    band = [] if average is None else [average.number - average.spread, average.number + average.spread]
    low, high = span([*(s.voltage_V for s in steps), *band], 0.12)
    sx = Scale(steps[0].x_charge, steps[-1].x_discharge, LEFT, WIDTH - RIGHT)
    sy = Scale(low, high, HEIGHT - BOTTOM, 16.0 if capacity_mAh_g is None else 48.0)
    unit = f"{ion} per {formula_text(host)}"
    stairs = [(sx(x), sy(s.voltage_V)) for s in steps for x in (s.x_charge, s.x_discharge)]
    body = join(
        [
            axes(sx, sy, unit, "voltage (V)", about=(4, 5)),
            _capacity_axis(capacity_mAh_g, sx, sy) if capacity_mAh_g else Markup(),
            _average(average, sx, sy) if average is not None else Markup(),
            tag("path", class_="stairs", d=polyline(stairs)),
            join(_hit(s, sx, sy, unit, capacity_mAh_g) for s in steps),
        ]
    )
    words = "; ".join(f"{number(s.voltage_V, 2)} V from {_content(s)} {unit}" for s in steps)
    return _svg(body, "profile", f"Voltage profile: {words}")


def _svg(body: Markup, kind: str, words: str) -> Markup:
    return tag(
        "svg", body, class_=f"plot {kind}", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=words
    )  # fmt: skip


def _content(step: VoltageStep) -> str:
    return f"{number(step.x_charge, 2)} to {number(step.x_discharge, 2)}"


def _capacity_axis(capacity_mAh_g: float, sx: Scale, sy: Scale) -> Markup:
    """Ticks of capacity on the upper edge of the frame; 0 where the discharge begins."""
    scale = Scale(0.0, capacity_mAh_g, sx.start, sx.end)
    middle = (sx.start + sx.end) / 2
    parts = [tag("text", "capacity (mAh/g)", class_="title", x=middle, y=sy.end - 32, text_anchor="middle")]
    for value in scale.ticks(5):
        at = scale(value)
        parts.append(tag("line", class_="axis", x1=at, x2=at, y1=sy.end - 5, y2=sy.end))
        parts.append(tag("text", number(value, 0), class_="tick", x=at, y=sy.end - 10, text_anchor="middle"))
    parts.append(tag("line", class_="axis", x1=sx.start, x2=sx.end, y1=sy.end, y2=sy.end))
    return join(parts)


def _average(average: Shown, sx: Scale, sy: Scale) -> Markup:
    top, bottom = sy(average.number + average.spread), sy(average.number - average.spread)
    at, tip = sy(average.number), f"average {average.text}"
    return join(
        [
            tag("rect", class_="band", x=sx.start, y=top, width=sx.end - sx.start, height=bottom - top, data_tip=tip),
            tag("line", class_="average", x1=sx.start, x2=sx.end, y1=at, y2=at),
        ]
    )


def _hit(step: VoltageStep, sx: Scale, sy: Scale, unit: str, capacity_mAh_g: float | None) -> Markup:
    """A broad, clear line over a plateau, for the pointer."""
    tip = f"{number(step.voltage_V, 2)} V\n{_content(step)} {unit}"
    if capacity_mAh_g:
        by_ion = capacity_mAh_g / (sx.high - sx.low)
        ends = [number(by_ion * (x - sx.low), 0) for x in (step.x_charge, step.x_discharge)]
        tip += f"\n{ends[0]} to {ends[1]} mAh/g"
    at = sy(step.voltage_V)
    return tag(
        "line", class_="hit-line", x1=sx(step.x_charge), x2=sx(step.x_discharge), y1=at, y2=at, data_tip=tip
    )  # fmt: skip


def drawn_paths(paths: Sequence[MigrationPath], barrier_eV: float | None) -> list[MigrationPath]:
    """The hops of the way whose barrier is `barrier_eV`, cheapest first; only the cheapest where there is no way."""
    whole = [p for p in paths if p.barrier_eV is not None and len(p.energies_eV) == len(p.path_A) > 2]
    limit = -np.inf if barrier_eV is None else barrier_eV + SAME_BARRIER_eV
    return [p for i, p in enumerate(whole) if i == 0 or (p.barrier_eV or 0.0) <= limit][:MOST_PATHS]


def path_plot(paths: Sequence[MigrationPath]) -> Markup:
    """Energy of the images along each path, a smooth line through them, and the barrier of the highest."""
    top = max(paths, key=lambda p: p.barrier_eV or 0.0)
    barrier_eV = top.barrier_eV or 0.0
    low, high = span([e for p in paths for e in (*p.energies_eV, 1.12 * barrier_eV)], 0.06)
    sx = Scale(0.0, max(p.path_A[-1] for p in paths), LEFT, WIDTH - RIGHT)
    sy = Scale(low, high, HEIGHT - BOTTOM, 16.0)
    saddle = sx(top.path_A[int(np.argmax(top.energies_eV))])
    at = sy(max(top.energies_eV))
    body = join(
        [
            axes(sx, sy, "path of the ion (Å)", "energy (eV)", about=(5, 5)),
            tag("line", class_="average", x1=sx.start, x2=sx.end, y1=at, y2=at),
            join(_curve(p, sx, sy, "other" if p is not top else "top") for p in reversed(paths)),
            tag("text", f"{number(barrier_eV, 2)} eV", class_="pt-name", x=saddle, y=at - 8, text_anchor="middle"),
        ]
    )
    words = "; ".join(f"{p.label}, {number(p.barrier_eV or 0.0, 2)} eV" for p in paths)
    return _svg(body, "path", f"Energy of the ion along its path, by length of the hop and barrier: {words}")


def _curve(path: MigrationPath, sx: Scale, sy: Scale, kind: str) -> Markup:
    length, energy = np.array(path.path_A), np.array(path.energies_eV)
    fine = _smooth(length, energy)
    line = polyline((sx(float(x)), sy(float(y))) for x, y in fine)
    dots = [
        tag("circle", class_="image", cx=sx(x), cy=sy(y), r=4.0, data_tip=f"{number(y, 2)} eV\nafter {number(x, 1)} Å")
        for x, y in zip(path.path_A, path.energies_eV, strict=True)
    ]
    return tag("g", tag("path", class_="curve", d=line), join(dots), class_=kind)


def _smooth(length: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Points [m,2] of a curve that never overshoots the images."""
    from scipy.interpolate import PchipInterpolator

    if np.any(np.diff(length) <= 0):
        return np.stack([length, energy], axis=1)
    fine = np.linspace(length[0], length[-1], 61)
    return np.stack([fine, PchipInterpolator(length, energy)(fine)], axis=1)
