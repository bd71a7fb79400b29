"""Each guide is followed to its end in an empty folder; what it shows and does not run is at least understood."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from redoxa.pipeline.commands.app import app
from tests.docs.follow import GUIDES, Block, blocks, redoxa_words

ROOT = Path(__file__).parents[2]
PAGES = sorted(page.stem for page in GUIDES.glob("*.md") if page.stem != "index")
SLOW = {"first_cathode", "campaign", "robot", "driver"}
"""Pages that take more than 20 s of one core."""
FENCED = [(page, block) for page in PAGES for block in blocks(GUIDES / f"{page}.md")]


def cpu_s() -> float:
    """Processor time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("page", [pytest.param(p, marks=[pytest.mark.slow] if p in SLOW else []) for p in PAGES])
def test_it_can_be_followed(page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, site = tmp_path / "folder", tmp_path / "site"
    folder.mkdir()
    site.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("REDOXA_", "PREFECT_"))}
    env = kept | {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    words = [sys.executable, "-m", "tests.docs.follow", str(GUIDES / f"{page}.md"), str(site)]
    before = cpu_s()
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    with capsys.disabled():
        sys.stdout.write(f"\n{page}: {cpu_s() - before:.0f} s of processor time\n")


@pytest.mark.parametrize(("page", "block"), [found for found in FENCED if found[1].language == "console"])
def test_its_commands_are_understood(page: str, block: Block) -> None:
    for words in redoxa_words(block):
        given = ["463de110463de110" if word in ("ID", "ID2") else word for word in words]
        command, _, _ = app.parse_args(given, exit_on_error=False, print_error=False)
        assert callable(command), f"{page}: {words}"


def test_what_is_not_run_is_rare(capsys: pytest.CaptureFixture[str]) -> None:
    left = [(page, block) for page, block in FENCED if block.why_not]
    with capsys.disabled():
        sys.stdout.write(f"\n{len(FENCED)} blocks in the guides, {len(left)} of them not run:\n")
        for page, block in left:
            sys.stdout.write(f"  {page}:{block.line} {block.why_not}\n")
    assert len(left) * 4 <= len(FENCED)


def test_every_guide_says_what_one_will_have_and_what_next() -> None:
    for page in PAGES:
        text = (GUIDES / f"{page}.md").read_text()
        assert "At the end you will have" in text, page
        assert "\n## Next" in text, page
