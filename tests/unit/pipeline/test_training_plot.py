from __future__ import annotations

import json
import re

import pytest

from redoxa.pipeline.tasks.training_plot import POINTS, duration, write_training_plot

FACTS = {"Network": "flow", "Split": "27 <crystals>", "Data": "mine.csv"}


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
    write_training_plot(log, out, FACTS, 2000, running=False)
    page = out.read_text()
    assert "step 2,000 of 2,000" in page
    assert '<span class="fact">123</span>' in page
    assert "mine.csv" in page
    assert "27 &lt;crystals&gt;" in page
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
    write_training_plot(log, out, FACTS, 50, running=False)
    assert "step 50" in out.read_text()


def test_only_a_page_of_a_running_training_loads_itself_again_and_says_how_long_it_takes(tmp_path):
    log, out = tmp_path / "log.jsonl", tmp_path / "losses.html"
    lines = [{"step": 10 * i, "unix_s": 1000.0 + 5 * i, "loss": 1.0, "crystals_per_s": 9.0} for i in range(1, 51)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pages = {}
    for steps, running, state in ((1700, True, "Running"), (1700, False, "Stopped"), (500, False, "Finished")):
        write_training_plot(log, out, FACTS, steps, running=running)
        pages[state] = out.read_text()
        assert f">{state}</span>" in pages[state]
    assert "10 min" in pages["Running"]  # 1,200 steps at half a second
    assert "location.reload" in pages["Running"]
    for state in ("Stopped", "Finished"):
        assert "<script" not in pages[state]
        assert "refresh" not in pages[state]
        assert "Time left" not in pages[state]
    for page in pages.values():
        assert "default-src &#39;none&#39;" in page
        assert not re.search(r"(?:src|href)=\"https?:", page)


def test_a_log_without_lines_gives_a_page(tmp_path):
    log, out = tmp_path / "log.jsonl", tmp_path / "losses.html"
    log.write_text("")
    write_training_plot(log, out, FACTS, 50, running=True)
    assert "step 0 of 50" in out.read_text()


@pytest.mark.parametrize(
    ("seconds", "said"), [(-3, "0 s"), (40, "40 s"), (720, "12 min"), (3599, "1 h 00 min"), (11100, "3 h 05 min")]
)
def test_durations_are_for_people(seconds, said):
    assert duration(seconds) == said
