"""What the command shows: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from redoxa.data.progress import OnProgress, Watcher, nothing


def stderr() -> Console:
    """Console for progress and notes."""
    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line of result on stdout, as it is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def emit(what: str, **values: object) -> None:
    """One line of JSON on stdout, led by schema and version (docs/reference/results.md); what is no number is null."""
    from pydantic_core import to_json

    say(to_json({"schema": f"redoxa.{what}/1", **values}, inf_nan_mode="null").decode())


def note(text: str) -> None:
    """One line beside the results, on stderr."""
    stderr().print(text, markup=False, soft_wrap=True)


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[OnProgress]:
    """Progress bars on stderr, one for each thing that goes on; where nobody watches, a line once it is done."""
    console = stderr()
    if quiet:
        yield nothing
        return
    if not console.is_terminal:
        yield _Lines()
        return
    times = TimeElapsedColumn(), TimeRemainingColumn()
    columns = (TextColumn("{task.description:<26}"), BarColumn(bar_width=20), MofNCompleteColumn(), *times)
    with Progress(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        yield update


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[Watcher]:
    """Progress bars, and notes beside them."""
    with progress_bars(quiet=quiet) as on_progress:
        yield Watcher(on_progress, note)


class _Lines:
    """One line for each thing that is done: how much of it there was, and how long it took."""

    def __init__(self) -> None:
        self._begun_s: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        begun_s = self._begun_s.setdefault(what, time.monotonic())
        if done == total and total > 0:
            note(f"{what}: {total} done in {time.monotonic() - begun_s:.0f} s")
            del self._begun_s[what]


PIPED_COLUMNS = 160
"""Width of a table that nobody watches."""

LONG, LEAST = 34, 20
"""A column with longer cells is prose: it is folded, and gets so many columns at least."""


def table(title: str, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """A table on stdout. What is no prose is never folded: where a terminal is too narrow, columns are left out.

    Args:
        title: above the table.
        rows: values by column.
        columns: in order; the first two always stay, of the others the last go first.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)
    cells = {column: [_cell(row.get(column)) for row in rows] for column in columns}
    prose = {column for column in columns if max((len(x) for x in cells[column]), default=0) > LONG}
    shown, left_out = _fitting(cells, prose, console.width)
    view = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in shown:
        numeric = bool(rows) and all(type(row.get(column)) in (int, float) for row in rows)
        folds = column in prose
        view.add_column(_head(column), justify="right" if numeric else "left", no_wrap=not folds, overflow="fold")
    for i in range(len(rows)):
        view.add_row(*[cells[column][i] for column in shown])
    console.print(view, markup=False)
    if left_out:
        note(f"not shown in {console.width} columns: {', '.join(left_out)} (a wider terminal or --json shows all)")


def _fitting(cells: Mapping[str, Sequence[str]], prose: set[str], width: int) -> tuple[list[str], list[str]]:
    """Columns that fit beside one another, and those that do not."""
    need = {
        c: LEAST if c in prose else max(len(x) for x in (*_head(c).split("\n"), *found)) for c, found in cells.items()
    }
    shown, left_out = list(cells), list[str]()
    while len(shown) > 2 and sum(need[c] + 2 for c in shown) + 2 > width:
        last = next((c for c in reversed(shown[2:]) if c not in prose), shown[-1])
        shown.remove(last)
        left_out.insert(0, last)
    return shown, left_out


def _head(column: str) -> str:
    """The name of a column, its unit in a line below."""
    return column.replace(" (", "\n(")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
