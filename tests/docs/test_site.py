"""The site builds without a warning, all its links lead somewhere, and it fetches nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.screening import PROPERTIES

ROOT = Path(__file__).parents[2]
pytest.importorskip("mkdocs", reason="the site's generator is not installed (pip install 'redoxa[docs]')")


class Page(HTMLParser):
    """The links, the anchors and the loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        if tag == "a" and (link := found.get("href")):
            self.links.append(link)
        named = (found.get("src"), found.get("href") if tag == "link" else None)
        self.loads += [value for value in named if value]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "WARNING" not in told
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_link_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    assert len(pages) > 15
    for path, page in pages.items():
        if path.name == "404.html":  # served from anywhere, so its links are of a root that is not known here
            continue
        for link in (urlsplit(one) for one in page.links):
            if link.scheme or link.netloc:
                continue
            aim = (path.parent / unquote(link.path)).resolve() if link.path else path
            assert aim.exists(), f"{path.name}: {link.path}"
            if link.fragment and aim.suffix == ".html":
                assert unquote(link.fragment) in pages[aim].anchors | {"__skip"}, f"{path.name}: {link.geturl()}"


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert [one for one in page.loads if urlsplit(one).netloc] == [], path.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8"))


def test_the_reference_is_what_the_code_says(site: Path) -> None:
    text = {
        name: (site / "reference" / f"{name}.html").read_text() for name in ("properties", "campaign_file", "commands")
    }
    ours = [name for name, target in PROPERTIES.items() if target.startswith("redoxa.")]
    assert all(f"<code>{name}</code>" in text["properties"] for name in ours)
    assert all(f"<code>{name}</code>" in text["campaign_file"] for name in CampaignSpec.model_fields)
    assert "redoxa-queue-approve" in text["commands"]
