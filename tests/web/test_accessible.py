"""Every page in both colour schemes and on a telephone, before axe: nothing serious."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redoxa.data.io import cif_text
from redoxa.data.tables.prototypes import load_prototypes
from redoxa.generators.base import Condition
from redoxa.generators.evaluate import reference_set
from redoxa.pipeline.evaluate.run import EvaluateOptions, evaluate
from redoxa.pipeline.pages.campaign.build import build_report
from redoxa.pipeline.pages.screening_page import build_screening_page
from redoxa.pipeline.tasks.training_plot import write_training_plot
from tests.web import sample, screening_sample, test_formulas_page, test_latent_page

pytestmark = pytest.mark.browser


def _training(folder: Path) -> str:
    log = folder / "log.jsonl"
    lines = [{"step": i, "loss": 2.0 / (i + 1), "seconds": float(i)} for i in range(1, 40)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_training_plot(
        log,
        folder / "losses.html",
        {"Network": "flow", "Data": "mine.parquet", "Split": "300", "Folder": "runs/flow"},
        40,
        running=False,
    )
    return (folder / "losses.html").read_text()


def _scorecard(folder: Path) -> str:
    for i, one in enumerate(load_prototypes()[:4]):
        (folder / f"{i}.cif").write_text(cif_text(one.crystal))
    out = folder / "scorecard"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_set, "SIZE", 60)
        evaluate(EvaluateOptions((str(folder),), 4, Condition(), 0, None, 1, out, 0, 1), lambda *_: None)
    return (out / "scorecard.html").read_text()


PAGES: dict[str, Callable[[Path], str]] = {
    "report": lambda _: build_report(sample.full()),
    "screening": lambda _: build_screening_page(screening_sample.screening()),
    "losses": _training,
    "scorecard": _scorecard,
    "latent": lambda _: test_latent_page.PAGES["way"](),
    "formulas": test_formulas_page.page_text,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, build in PAGES.items():
        (folder / f"{name}.html").write_text(build(folder), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 420)])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(browser: Any, pages: dict[str, Path], name: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        page.goto(pages[name].as_uri())
        found = axe.Axe().run(page).response["violations"]
    finally:
        context.close()
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    told = [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]} ({len(v['nodes'])} places)" for v in grave]
    assert not told, "\n".join(told)
