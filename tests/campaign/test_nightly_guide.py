"""docs/guides/group.md followed to its end: each of its commands is typed as it stands there, in its order."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.campaign.conftest import ROOT, TINY, contents
from tests.campaign.test_kill import no_orphans
from tests.campaign.test_ticks import Served
from tests.unit.pipeline.test_read_only import fill

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "guides" / "group.md").read_text(encoding="utf-8")
NOT_HERE = {
    "sudo useradd": "no user is made: HOME is a folder of this test",
    "sudo -iu redoxa": "a login: each block of the guide is typed after one",
    "git clone": "needs a network; the checkout under test stands in for it",
    "sudo -u postgres createuser": "asks for a password at a terminal; the server has this user",
    "sudo systemctl": "needs systemd; the unit's lines are carried out below",
    "journalctl": "needs systemd",
    "redoxa serve night.yaml --webhook": "needs a webhook; the unit is carried out without",
    "redoxa digest --hours 1 --webhook": "needs a webhook; tests/unit/pipeline/test_alert.py has one",
    "redoxa digest --mail": "needs a mail server; tests/unit/pipeline/test_alert.py has one",
}


def blocks(section: str) -> list[list[str]]:
    """The indented blocks of a section, as lines."""
    text = GUIDE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", text, re.MULTILINE)
    return [[line.strip() for line in block.splitlines() if line.strip()] for block in found]


def of_sqlite(block: list[str]) -> bool:
    return any("redoxa.db " in line or "'runs/redoxa.db'" in line for line in block)


class Home:
    """A home in which the guide is followed."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder, self.campaigns = folder, folder / "campaigns"
        programs = folder / "redoxa" / ".venv" / "bin"
        programs.mkdir(parents=True)
        words = {"redoxa": f"-c {shlex.quote('from redoxa.pipeline.commands.main import main; main()')}", "python": ""}
        for name, arguments in words.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            (programs / name).chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("REDOXA_", "PREFECT_"))}
        self.env = {**kept, "HOME": str(folder), "PYTHONPATH": str(ROOT), **env}
        self.left: set[str] = set()

    def type(self, lines: list[str], **given: str) -> str:
        """Type each line after a login, with words of the guide exchanged; what they wrote."""
        typed = []
        for line in lines:
            if left := next((start for start in NOT_HERE if line.startswith(start)), ""):
                self.left.add(left)
                continue
            for word, value in given.items():
                line = re.sub(rf"\b{word}\b", value, line)
            typed.append(line.removeprefix("sudo -u postgres "))
        out = ""
        start = "[ ! -e ~/.profile ] || . ~/.profile; [ ! -d ~/campaigns ] || cd ~/campaigns"
        for text in typed:
            done = subprocess.run(
                ["bash", "-ec", f"{start}\n{text}"],
                cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            good = (0, 1) if text.startswith("redoxa digest") else (0,)  # 1: somebody should look
            assert done.returncode in good, f"{text}\n{done.stdout}{done.stderr}"
            out += done.stdout
        return out

    def rows(self, line: str) -> list[dict[str, object]]:
        """The lines of JSON that a command writes."""
        return [json.loads(row) for row in self.type([f"{line} --json"]).splitlines()]

    def ensure_whole(self) -> None:
        """The audit trail is as it was written."""
        (trail,) = [row for row in self.rows("redoxa doctor") if row["check"] == "audit trail"]
        assert trail["ok"], trail

    def serve(self, unit: list[str]) -> Served:
        """What systemd does with the unit of the guide, as far as it needs no root."""
        lines = [line.replace("/home/redoxa", str(self.folder)) for line in unit if "=" in line]
        told = {key: value for key, _, value in (line.partition("=") for line in lines)}
        file = Path(told["EnvironmentFile"].removeprefix("-"))
        extra = dict(line.split("=", 1) for line in file.read_text().splitlines())
        folder = Path(told["WorkingDirectory"])
        return Served(folder, "night", shlex.split(told["ExecStart"]), {**self.env, **extra})

    def edit(self) -> None:
        """Edit both files as the guide tells, with the settings of a campaign that takes a minute."""
        until_then = GUIDE.partition("redoxa validate")[0]
        told = [yaml.safe_load(text) for text in re.findall(r"`((?:schedule|stop|lab): \{.*?\})`", until_then)]
        assert [next(iter(section)) for section in told] == ["schedule", "stop", "lab"]
        night = self.campaigns / "night.yaml"
        spec = yaml.safe_load(night.read_text()) | yaml.safe_load(TINY.read_text())
        for section in told:
            spec |= section
        spec |= {"name": "night", "generate": [{"kind": "substitution", "count": 8}]}
        spec["chemistry"]["allowed"].remove("S")  # the laboratory of the example has no powder for sulfides
        spec["lab"]["options"] = {"settle_s": 0}
        night.write_text(yaml.safe_dump(spec))
        laboratory = self.campaigns / "laboratory.yaml"
        laboratory.write_text(laboratory.read_text().replace("Ada Lovelace", "Your Name"))


@pytest.fixture
def home(tmp_path: Path, postgres_server: str) -> Iterator[Home]:
    """A home beside a PostgreSQL server that is reached over its socket."""
    told = parse_qs(urlsplit(postgres_server).query)
    home = Home(tmp_path, PGHOST=told["host"][0], PGPORT=told["port"][0], PGUSER="redoxa")
    yield home
    subprocess.run(["dropdb", "--if-exists", "--force", "redoxa"], env=home.env, check=True)


def test_the_guide_followed_to_its_end(home: Home) -> None:
    begun, checked, database, unit, started = blocks("Once")
    home.type(begun)
    home.edit()
    home.type(checked)
    here = {"localhost/redoxa": f"/redoxa?host={home.env['PGHOST']}"}
    home.type(database, **here)
    assert (home.campaigns / "store.env").stat().st_mode & 0o077 == 0
    home.type(started)

    served = home.serve(unit)
    try:
        assert served.ended(served.tick(), 600)[0] == "COMPLETED"
    finally:
        served.process.terminate()
        assert served.process.wait(30) == 0
    assert no_orphans(home.campaigns)
    assert not (home.campaigns / "runs" / "redoxa.db").exists()

    first = next(row["request_id"] for row in home.rows("redoxa queue list") if row["safe"])
    morning, *told = blocks("In the morning")
    out = home.type(morning, ID=str(first))
    assert f"{first} approved" in out
    assert "1 running" in out
    assert "<html" in (home.campaigns / "today.html").read_text()
    home.type([line for block in told for line in block])
    for line in re.findall(r"`(redoxa lab (?:stop|resume) [^`]+)`", GUIDE):
        home.type([line])

    dump, of_one_file, folder, restored, _, looked = blocks("Back-up and restore")
    assert of_sqlite(of_one_file)
    home.type(dump + folder)
    url = f"postgresql://redoxa@/redoxa?host={home.env['PGHOST']}&port={home.env['PGPORT']}"
    before = contents(url)
    order = home.campaigns / "runs" / "night" / "lab" / "outbox" / f"{first}.json"
    written = order.stat().st_mtime_ns
    home.type(["dropdb --force redoxa", "rm -r runs", next(line for line in database if "createdb" in line)])
    home.type(restored)
    assert contents(url) == before
    assert "1 running" in home.type(looked)
    home.ensure_whole()
    assert contents(url) == before
    assert abs(order.stat().st_mtime_ns - written) < 1e9

    # The result comes after the restore.
    answer = json.loads(order.with_suffix(".template.json").read_text())
    answer["values"] = {"average_voltage": {"value": 3.1, "sigma": 0.1}}
    del answer["phase_purity"]
    (order.parents[1] / "inbox" / "answer.json").write_text(json.dumps(answer))
    assert "1 done" in home.type(looked)
    assert home.left == set(NOT_HERE)


def test_an_sqlite_store_comes_back_whole_from_its_backup(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.campaigns.mkdir()
    home.type([line for line in blocks("Once")[0] if ".profile" in line])
    store = home.campaigns / "runs" / "redoxa.db"
    store.parent.mkdir()
    fill(str(store))
    before = contents(store)
    saved, restored = (block for block in blocks("Back-up and restore") if of_sqlite(block))
    power_cut = (
        "import os, sqlite3; c = sqlite3.connect('runs/redoxa.db'); c.execute('PRAGMA wal_autocheckpoint=0'); "
        "c.execute('UPDATE requests SET round = 9'); c.commit(); os._exit(0)"
    )
    with sqlite3.connect(store) as writer:
        writer.execute("BEGIN")  # somebody reads and writes while it is backed up
        writer.execute("SELECT * FROM requests").fetchall()
        home.type(saved)
    home.type([f'python -c "{power_cut}"'])
    assert store.with_name("redoxa.db-wal").stat().st_size > 0
    home.type(restored)
    assert contents(store) == before
    home.ensure_whole()
