"""The losses of a training as a page that reloads itself: one small figure for each loss, with the held-out one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from pipeline.report.svg import Scale, axes, join, polyline, span, tag

WIDTH, HEIGHT = 520.0, 280.0
POINTS = 400
"""Most points of a curve; longer ones are averaged in pieces."""

Curve = list[tuple[float, float]]

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5rem; color: #1c1c1c; background: #fff; }
svg { width: 520px; max-width: 100%; margin-right: 1rem; }
.grid { stroke: #e3e3e3; } .axis { stroke: #555; fill: none; } text { font-size: 12px; fill: #444; }
.train { stroke: #8fb3d9; } .held-out { stroke: #b3261e; } .curve { fill: none; stroke-width: 1.6; }
.name { font-weight: 600; font-size: 14px; }
"""


def write_training_plot(log: Path, out: Path, every_s: int = 20) -> None:
    """Draw the losses of a log.

    Args:
        log: lines that `generators.training.loop.train` wrote.
        out: HTML file.
        every_s: seconds after which a browser that shows the page loads it again.
    """
    lines = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    names = [key.removeprefix("held_out_") for line in lines for key in line if key.startswith("held_out_")]
    names = names or ["loss"]
    figures = [_figure(name, _curve(lines, name), _curve(lines, f"held_out_{name}")) for name in dict.fromkeys(names)]
    last = lines[-1]
    speed = next((f", {line['crystals_per_s']:.0f} crystals/s" for line in reversed(lines) if "rate" in line), "")
    body = [
        tag("h1", f"Training: step {last['step']}{speed}"),
        tag("p", tag("b", "Light"), " is training, ", tag("b", "red"), " the averaged network on held-out data."),
        *figures,
    ]
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta http-equiv="refresh" content="{}">').format(every_s),
        tag("title", f"step {last['step']}"),
        Markup("<style>{}</style>").format(Markup(_STYLE)),
    ]
    page = Markup("<!doctype html>\n") + tag("html", tag("head", join(head)), tag("body", join(body)), lang="en")
    partial = out.with_name(out.name + ".partial")
    partial.write_text(str(page), encoding="utf-8")
    partial.replace(out)


def _curve(lines: Sequence[dict[str, float]], name: str) -> Curve:
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
    sx, sy = Scale(0.0, end, 70.0, WIDTH - 14.0), Scale(low, high, HEIGHT - 54.0, 26.0)
    parts = [axes(sx, sy, "step", name, about=(6, 5)), tag("text", name, class_="name", x=70.0, y=16.0)]
    for css, curve in (("train", train), ("held-out", held_out)):
        points = [(sx(step), sy(sy.clip(value))) for step, value in curve]
        if points:
            parts.append(tag("path", class_=f"curve {css}", d=polyline(points)))
    return tag("svg", join(parts), viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=f"Loss: {name}")
