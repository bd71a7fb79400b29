"""The losses of a training as a page: one figure for each loss, with the held-out one, and what was trained on what.

While the training runs the page loads itself again; one that has ended, or whose training was killed, stands still.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from markupsafe import Markup

from redoxa.data.whole import whole
from redoxa.pipeline.pages.kit.page import asset, environment, policy
from redoxa.pipeline.pages.kit.svg import Scale, axes, join, polyline, span, tag

WIDTH, HEIGHT = 520.0, 280.0
POINTS = 400
"""Most points of a curve; longer ones are averaged in pieces."""

RECENT = 20
"""Last lines from which the time that is left is worked out."""

STYLES: Final = ("base.css", "figures.css", "training.css")

Curve = list[tuple[float, float]]
Line = dict[str, float]


def write_training_plot(log: Path, out: Path, facts: Mapping[str, str], steps: int, *, running: bool) -> None:
    """Write the page of a log.

    Args:
        log: lines that `generators.training.loop.train` wrote.
        out: HTML file.
        facts: what is trained, on what and how, by name.
        steps: of the whole training.
        running: whether it goes on, so that the page must load itself again.
    """
    lines = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    names = [key.removeprefix("held_out_") for line in lines for key in line if key.startswith("held_out_")]
    names = ["loss", *(name for name in dict.fromkeys(names) if name != "loss")]
    figures = [_figure(name, _curve(lines, name), _curve(lines, f"held_out_{name}")) for name in names]
    step = int(lines[-1]["step"]) if lines else 0
    style = "\n".join(asset("templates", name) for name in STYLES)
    script = asset("templates", "training.js")
    page = environment().get_template("training.html.j2").render(
        step=step,
        steps=steps,
        state="Running" if running else "Finished" if step >= steps else "Stopped",
        running=running,
        progress=_progress(lines, steps, running),
        figures=figures,
        held_out=any(key.startswith("held_out_") for line in lines for key in line),
        facts=facts,
        written=datetime.now(UTC),
        policy=policy([style], [script]),
        style=Markup(style),
        script=Markup(script),
    )  # fmt: skip
    with whole(out) as draft:
        draft.write_text(page, encoding="utf-8")


def _progress(lines: Sequence[Line], steps: int, running: bool) -> list[tuple[str, str, str]]:
    """The numbers at the head of the page: name, value, remark."""
    found = [("Step", f"{int(lines[-1]['step']) if lines else 0:,}", f"of {steps:,}")]
    for name, key in (("Training loss", "loss"), ("Held-out loss", "held_out_loss")):
        if line := next((line for line in reversed(lines) if key in line), None):
            found.append((name, f"{line[key]:.4g}", f"at step {int(line['step']):,}"))
    if speed := next((line["crystals_per_s"] for line in reversed(lines) if "crystals_per_s" in line), None):
        found.append(("Speed", f"{speed:,.0f}", "crystals/s"))
    recent = lines[-RECENT:]
    if running and len(recent) > 1 and recent[-1]["step"] > recent[0]["step"]:
        pace = (recent[-1]["unix_s"] - recent[0]["unix_s"]) / (recent[-1]["step"] - recent[0]["step"])
        found.append(("Time left", duration(pace * (steps - recent[-1]["step"])), "at the present pace"))
    return found


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``12 min`` or ``3 h 05 min``."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _curve(lines: Sequence[Line], name: str) -> Curve:
    """(step, loss) of the lines that have it, at most `POINTS` of them."""
    found = [(line["step"], line[name]) for line in lines if math.isfinite(line.get(name, math.nan))]
    width = -(-len(found) // POINTS) or 1
    pieces = [found[i : i + width] for i in range(0, len(found), width)]
    return [(piece[-1][0], sum(value for _, value in piece) / len(piece)) for piece in pieces]


def _figure(name: str, train: Curve, held_out: Curve) -> Markup:
    """Both curves of one loss; the first tenth of the steps does not set the axis, since losses fall steeply there."""
    curves = train + held_out
    end = max((step for step, _ in curves), default=1.0)
    low, high = span(value for step, value in curves if step >= end / 10)
    sx, sy = Scale(0.0, end, 70.0, WIDTH - 14.0), Scale(low, high, HEIGHT - 54.0, 14.0)
    parts = [axes(sx, sy, "step", name.replace("_", " "), about=(6, 5))]
    for css, curve in (("train", train), ("held-out", held_out)):
        points = [(sx(step), sy(sy.clip(value))) for step, value in curve]
        if points:
            parts.append(tag("path", class_=f"curve {css}", d=polyline(points)))
        if len(points) == 1:
            parts.append(tag("circle", class_=f"dot-{css}", cx=points[0][0], cy=points[0][1], r=3.5))
    view = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return tag("svg", join(parts), class_="plot", viewBox=view, role="img", aria_label=f"Loss: {name}")
