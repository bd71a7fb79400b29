"""A real Chromium without a network: any request but the page's own file, and any complaint on the console, fails a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SOFTWARE_WEBGL = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--ignore-gpu-blocklist"]
NO_WEBGL = ["--disable-gpu", "--disable-3d-apis"]
PATIENCE_MS = 30_000


def chromium_path() -> str | None:
    """Chromium of the machine: REDOXA_CHROMIUM, else one on the path."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("REDOXA_CHROMIUM") or next((p for n in names if (p := shutil.which(n))), None)
    return found if found and Path(found).exists() else None


@pytest.fixture(scope="session")
def playwright_() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium_path() is None:
        pytest.skip("no Chromium on this machine; install one or set REDOXA_CHROMIUM")
    with sync_api.sync_playwright() as manager:
        yield manager


@pytest.fixture(scope="session")
def browser(playwright_: Any) -> Iterator[Any]:
    """Without WebGL: drawing the whole page by a software GPU takes many times as long."""
    started = playwright_.chromium.launch(executable_path=chromium_path(), args=NO_WEBGL)
    yield started
    started.close()


@pytest.fixture(scope="session")
def webgl_browser(playwright_: Any) -> Iterator[Any]:
    started = playwright_.chromium.launch(executable_path=chromium_path(), args=SOFTWARE_WEBGL)
    yield started
    started.close()


class Guard:
    """What a page did that it should not do."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def watch(self, page: Any, url: str) -> None:
        """Abort and record every request but `url`; record console warnings, errors, exceptions and dialogs."""

        def route(handler: Any) -> None:
            if handler.request.url.partition("#")[0] == url:
                handler.continue_()
            else:
                self.requests.append(handler.request.url)
                handler.abort()

        page.route("**/*", route)
        page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def check(self) -> None:
        """Fail if anything was recorded."""
        assert self.requests == []
        # Software rendering reports that reading pixels is slow; no user sees that.
        assert [c for c in self.complaints if "GPU stall" not in c] == []


@dataclass
class Opened:
    """A guarded page."""

    page: Any
    guard: Guard


def open_guarded(browser: Any, path: Path, anchor: str = "", **options: Any) -> Opened:
    """Open a file in a fresh context that reaches nothing else."""
    options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    opened = Opened(context.new_page(), Guard())
    opened.guard.watch(opened.page, path.as_uri())
    opened.page.goto(path.as_uri() + anchor)
    return opened


Opener = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """Open a file on a page of its own; on the way out nothing may have gone wrong."""
    all_opened: list[Opened] = []

    def opener(path: Path, with_browser: Any = None, **options: Any) -> Any:
        opened = open_guarded(with_browser or browser, path, **options)
        all_opened.append(opened)
        return opened.page

    yield opener
    for opened in all_opened:
        opened.page.context.close()
    for opened in all_opened:
        opened.guard.check()
