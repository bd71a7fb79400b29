"""The README's commands as three kinds of newcomers type them, in a terminal of 80 columns: what they see, and what next."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from redoxa.data.io import cif_text
from redoxa.data.tables.prototypes import load_prototypes, prototype
from tests.campaign.conftest import command

WIDTH = 80
STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def typed(*args: object, cwd: Path) -> tuple[int, list[str]]:
    """A command in a terminal of 80 columns: its exit code, and the lines that are left on the screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    process = subprocess.Popen(command(*args), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return process.wait(60), STYLES.sub("", seen.decode(errors="replace")).splitlines()


def tables(lines: list[str]) -> list[str]:
    """Lines of tables: from their rule to the first line that is none."""
    found, inside = [], False
    for line in lines:
        inside = set(line.strip()) == {"─"} or (inside and "  " in line)
        found += [line] * inside
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, one in enumerate(load_prototypes()[:12]):
        (tmp_path / "crystals").mkdir(exist_ok=True)
        (tmp_path / "crystals" / f"{i}.cif").write_text(cif_text(one.crystal))
    (tmp_path / "LiFePO4.cif").write_text(cif_text(prototype("olivine LiFePO4").crystal))
    (tmp_path / "LiCoO2.cif").write_text(cif_text(prototype("O3 LiCoO2").crystal))
    return tmp_path


def test_a_battery_scientist(folder: Path) -> None:
    code, lines = typed("screen", "LiFePO4.cif", "LiCoO2.cif", "--profile", 0, cwd=folder)
    assert code == 0
    rows = tables(lines)
    assert all(len(line) <= WIDTH for line in rows)
    assert any(line.startswith("LiFePO4.cif") and re.search(r"3\.\d\d ± 0\.\d\d", line) for line in rows)
    assert any("not shown in 80 columns" in line for line in lines)
    assert any("screening.html" in line for line in lines)
    assert (folder / "runs" / "screening.html").stat().st_size > 100_000


def test_somebody_with_crystals_of_their_own(folder: Path) -> None:
    code, lines = typed("train", "crystals", "--start", "shipped", "--steps", 10, "--out", "own", cwd=folder)
    text = " ".join(lines)
    assert code == 0, text
    following = re.search(r"next: redoxa (generate --generator flow --checkpoint \S+)", text)
    assert following, text
    code, lines = typed(*following[1].split(), "-n", 2, "--elements", "Li,Co,O", "--out", "drawn", cwd=folder)
    assert code == 0, lines
    assert len(list((folder / "drawn").glob("*.cif"))) == 2
    assert "<dd>flow.safetensors</dd>" in (folder / "own" / "losses.html").read_text()


def test_somebody_with_a_laboratory(folder: Path) -> None:
    campaign = {
        "name": "bench", "seed": 1, "chemistry": {"allowed": ["Mn", "Fe", "Co", "O"]},
        "goal": {"objectives": {"average_voltage": {"min": 1.0}}},
        "generate": [{"kind": "substitution", "count": 6}], "select": {"batch_size": 1, "min_probability": 0.01},
        "screen": {"known": "warn", "workers": 1}, "stop": {"rounds": 1},
        "lab": {"driver": "file_drop", "approval": "person", "options": {"settle_s": 0}},
    }  # fmt: skip
    (folder / "bench.yaml").write_text(json.dumps(campaign))
    code, lines = typed("run", "bench.yaml", "--no-prefect", cwd=folder)
    assert code == 0, lines
    assert any(line.startswith("Next: redoxa queue list") for line in lines)
    assert all(len(line) <= WIDTH for line in tables(lines))

    code, lines = typed("queue", "list", cwd=folder)
    (request,) = {match[0] for line in tables(lines) if (match := re.search(r"\b[0-9a-f]{16}\b", line))}
    assert f"redoxa queue approve {request[:8]}" in " ".join(lines)
    code, lines = typed("queue", "approve", request[:8], cwd=folder)
    assert code == 0
    assert lines[-1] == "next: redoxa lab work bench"
    code, lines = typed("lab", "work", "bench", cwd=folder)
    assert any("work lists: " in line for line in lines)
    (outbox,) = folder.glob("runs/**/outbox")
    answer = json.loads((outbox / f"{request}.template.json").read_text())
    answer["values"]["average_voltage"]["value"] = 3410
    answer["values"]["capacity_grav"]["value"] = 152
    (outbox.parent / "inbox" / "first.json").write_text(json.dumps(answer))
    code, lines = typed("lab", "work", "bench", cwd=folder)
    assert any("rejected: " in line for line in lines)
    assert "not plausible" in " ".join(lines)
    answer["values"]["average_voltage"]["value"] = 3.41
    (outbox.parent / "inbox" / "second.json").write_text(json.dumps(answer))
    assert typed("lab", "work", "bench", cwd=folder)[0] == 0
    code, lines = typed("run", "bench.yaml", "--no-prefect", cwd=folder)
    assert any("1 measured. Ended" in line.replace("\n", " ") for line in [" ".join(lines)])
    code, lines = typed("export", "bench", "bench.zip", cwd=folder)
    assert code == 0
    assert (folder / "bench.zip").exists()
