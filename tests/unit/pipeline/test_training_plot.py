from __future__ import annotations

import json
import re

import pytest

from pipeline.training_plot import POINTS, write_training_plot


def curves(page: str) -> dict[str, list[list[tuple[float, float]]]]:
    """Points of the curves, by class, in the order of the figures."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for css, path in re.findall(r'<path class="curve ([\w-]+)" d="M([^"]+)"', page):
        points = [tuple(map(float, point.split())) for point in path.split("L")]
        found.setdefault(css, []).append(points)
    return found


def test_a_figure_for_each_loss_with_the_held_out_curve_over_it(tmp_path):
    log, out = tmp_path / "log.jsonl", tmp_path / "losses.html"
    lines = [
        {"step": s, "unix_s": 0.0, "loss": 10 / s, "coords": 5 / s, "gradient": 1.0, "rate": 1.0}
        for s in range(1, 2001)
    ]
    for line in lines:
        line["crystals_per_s"] = 123.4
    for line in lines[999::1000]:
        line |= {"held_out_loss": 12 / line["step"], "held_out_coords": 6 / line["step"]}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_training_plot(log, out)
    page = out.read_text()
    assert "step 2000, 123 crystals/s" in page
    assert 'http-equiv="refresh"' in page
    drawn = curves(page)
    assert [len(points) for points in drawn["held-out"]] == [2, 2]
    assert all(len(points) <= POINTS for points in drawn["train"])
    # Both end at the last step; a loss that falls goes down the page, where y grows.
    assert drawn["train"][0][-1][0] == drawn["held-out"][0][-1][0]
    assert drawn["held-out"][0][1][1] > drawn["held-out"][0][0][1]
    assert drawn["held-out"][0][1][1] < drawn["train"][0][-1][1]


@pytest.mark.parametrize("loss", [0.5, float("nan")])
def test_one_line_without_held_out_data_can_be_drawn(tmp_path, loss):
    log, out = tmp_path / "log.jsonl", tmp_path / "losses.html"
    log.write_text(json.dumps({"step": 50, "unix_s": 0.0, "loss": loss, "rate": 1e-3, "crystals_per_s": 9.0}) + "\n")
    write_training_plot(log, out)
    assert "step 50" in out.read_text()
