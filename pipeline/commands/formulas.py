"""`redoxa formulas`: one scorecard for models of formulas."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from redoxa.data.errors import InputError
from redoxa.pipeline.commands.app import Json

if TYPE_CHECKING:
    from redoxa.pipeline.evaluate.formulas import FormulaCard

Samples = Annotated[int, Parameter(name=["-n", "--count"], validator=Number(gte=2, lte=1_000_000))]


def formulas(
    *models: str,
    against: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")] = (),
    n: Samples = 10_000,
    seed: int = 0,
    html: Path | None = None,
    as_json: Json = False,
) -> int:
    """Judge models of formulas side by side: what they hold likely, find again, make new, copy and leave out.

    Some formulas of the tables are held out, the same as `redoxa train` holds out of them; no model may have learned
    these. Beside the models stand the formulas themselves and the floor, exchange of one element. A model that fails
    is told with its reason, the others are judged, and the exit code is 1.

    Args:
        models: names (exchange, hmm, independent, mixture and softmax learn here; lstm and others ship) and files.
        against: tables with a column atomic_numbers or formula, or one prepared file; those that the models learned.
        n: samples of each model.
        seed: of learning, sampling and every draw.
        html: file for the page; by default runs/formulas.html, and none with --json.
    """
    from redoxa.pipeline.commands.console import emit, note, watching
    from redoxa.pipeline.evaluate.formulas import FormulaOptions, score_formulas
    from redoxa.pipeline.evaluate.formulas_page import formulas_page

    if not against:
        raise InputError("name the tables of formulas: redoxa formulas MODEL... --against TABLE...")
    with watching(quiet=as_json) as watcher:
        command = shlex.join(["redoxa", *sys.argv[1:]])
        card = score_formulas(FormulaOptions(models, against, n, seed, command), watcher)
    if as_json:
        for row in card.rows:
            emit("formula_score", **row.to_json())
    else:
        _print(card)
    page = html or (None if as_json else Path("runs/formulas.html"))
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(formulas_page(card), encoding="utf-8")
        note(f"Page: {page.resolve().as_uri()}")
    for row in card.rows:
        if row.failed:
            note(f"{row.name} failed: {row.failed}")
        elif row.doubt:
            note(f"{row.name} {row.doubt}")
    if not as_json:
        note("next: redoxa generate --generator composition --checkpoint FILE makes crystals of what a model writes")
    return 1 if card.failed else 0


def _print(card: FormulaCard) -> None:
    """The scorecard on stdout, one table of quality and one of collapse."""
    from redoxa.pipeline.commands.console import table
    from redoxa.pipeline.evaluate.formula_columns import COLLAPSE, COLUMNS

    for title, columns in (("formulas", COLUMNS), ("collapse", COLLAPSE)):
        rows: list[dict[str, object]] = []
        for row in card.rows:
            told = {column.head: column.show(row.score) for column in columns} if row.score else {}
            cells = {head: " ".join(filter(None, (cell.text, cell.below))) for head, cell in told.items()}
            rows.append({"model": row.name, **(cells or {columns[0].head: "failed"})})
        table(title, rows, ["model", *(column.head for column in columns)])
