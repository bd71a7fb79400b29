"""What a campaign finds hangs on its spec, its seed and the version alone: not on what else is in the store."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.campaign.conftest import TINY, Finished, contents, here, redoxa


def of_campaign(store: Path, name: str) -> dict[str, list[tuple[object, ...]]]:
    """Proposals, results and choices of one campaign; results by candidate and record, whatever their scope."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        (campaign,) = connection.execute("select id from campaigns where name = ?", (name,)).fetchone()
    found = contents(store)
    proposals = [row for row in found["proposals"] if row[0] == f'"{campaign}"']
    return {
        "proposals": proposals,
        "chunks": [row for row in found["chunks"] if row[0] == f'"{campaign}"'],
        "selections": [row for row in found["selections"] if row[0] == f'"{campaign}"'],
        "rounds": [row for row in found["rounds"] if row[0] == f'"{campaign}"'],
    }


@pytest.mark.slow
def test_a_campaign_in_a_shared_store_finds_what_it_finds_alone(
    tiny_run: tuple[Path, Finished], tmp_path: Path
) -> None:
    alone, done = tiny_run
    assert done.code == 0, done.err
    other = tmp_path / "other.yaml"
    other.write_text(TINY.read_text().replace("name: tiny", "name: other").replace("count: 6", "count: 5"))
    for file in (other, TINY):
        ran = redoxa("run", file, "--no-prefect", cwd=tmp_path)
        assert ran.code == 0, ran.err
    shared = tmp_path / "runs" / "redoxa.db"
    assert of_campaign(shared, "tiny") == of_campaign(alone / "runs" / "redoxa.db", "tiny")
    exports = []
    for folder in (alone, tmp_path):
        made = here("export", "tiny", "tiny.csv", cwd=folder)
        assert made.code == 0, made.err
        exports.append((folder / "tiny.csv").read_text())
        (folder / "tiny.csv").unlink()
    assert exports[0] == exports[1]
