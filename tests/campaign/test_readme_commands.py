"""Every command that the README and a report print is run, smaller than a person would, in the order they stand in."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path

import pytest

from redoxa.data.io import cif_text
from redoxa.data.tables.prototypes import load_prototypes, prototype
from redoxa.generators.evaluate import reference_set
from tests.campaign.conftest import ROOT, Finished, here

SMALLER = {
    "--barriers 2": "--barriers 0 --profile 0 --workers 1", "LiFePO4.cif    ": "LiFePO4.cif --profile 0 --workers 1    ",
    "-n 20 --elements": "-n 2 --elements", "-n 5 ": "-n 2 --max-atoms 14 ",
    "-n 300 --relax 30": "-n 2 --relax 0 --workers 1",
    "--rounds 2 -n 200": "--rounds 1 -n 3 --steps 1 --workers 1",
    "--steps 500": "--steps 2", "reinforce my.yaml": "reinforce my.yaml --rounds 1 -n 2 --dreams 0",
    "capacity_grav=120..": "capacity_grav=120.. -n 2",
    "--checkpoint runs/train/flow.safetensors": "--checkpoint runs/train/flow.safetensors -n 1 --no-charge-neutral",
    "--keep Fe,P,O --require Na": "--keep Fe,P,O --require Na -n 1", "run my.yaml": "run my.yaml --no-prefect",
}  # fmt: skip
"""What makes a command of the README small."""

NOT_HERE = {"redoxa serve my.yaml", "redoxa --install-completion"}
"""Runs until it is interrupted (test_serve.py); writes into the shell's own files."""

CAMPAIGN = {
    "seed": 1, "chemistry": {"allowed": ["Mn", "Fe", "Co", "O"]}, "generate": [{"kind": "substitution", "count": 6}],
    "goal": {"objectives": {"average_voltage": {"min": 1.0}}}, "select": {"batch_size": 1, "min_probability": 0.01},
    "screen": {"known": "warn", "workers": 1}, "lab": {"driver": "simulated", "approval": "person"},
}  # fmt: skip


def readme_commands() -> list[str]:
    """Commands of the indented blocks, left to right and from above."""
    blocks = re.findall(r"^    (redoxa .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return [part for line in blocks for part in re.findall(r"redoxa .*?(?=#|\s{2,}redoxa|$)", line)]


def small(command: str) -> list[str]:
    """Its words, with what makes it small."""
    command = f"{command}    "
    for long, short in SMALLER.items():
        command = command.replace(long, short)
    return shlex.split(command)[1:]


def test_the_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_set, "SIZE", 60)
    for name, chosen in (("my_crystals", load_prototypes()[:8]), ("their_cifs", load_prototypes()[8:11])):
        (tmp_path / name).mkdir()
        for i, one in enumerate(chosen):
            (tmp_path / name / f"{i}.cif").write_text(cif_text(one.crystal))
    (tmp_path / "LiFePO4.cif").write_text(cif_text(prototype("olivine LiFePO4").crystal))
    commands = [c.strip() for c in readme_commands()]
    assert len(commands) >= 18
    request = ""
    for command in commands:
        if command in NOT_HERE:
            continue
        done = here(*(request if word == "ID" else word for word in small(command)), cwd=tmp_path)
        assert done.code == 0 or (command.startswith("redoxa screen my_crystals") and done.code == 1), (
            command,
            done.err,
        )
        if command.startswith("redoxa init"):
            (tmp_path / "my.yaml").write_text(json.dumps(CAMPAIGN))
        if command.startswith("redoxa queue list"):
            request = re.findall(r"\b[0-9a-f]{16}\b", done.out)[0]


def test_the_commands_of_a_report(tiny_run: tuple[Path, Finished]) -> None:
    folder, done = tiny_run
    page = html.unescape((folder / done.summary["report"]).read_text())
    commands = set(re.findall(r"<code>(redoxa [^<]*)</code>", page))
    assert commands
    for command in commands:
        ran = here(*shlex.split(command)[1:], cwd=folder)
        assert ran.code == 0, (command, ran.err)
