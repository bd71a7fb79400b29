"""A periodic table that shows which elements the campaign explored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

from redoxa.data.records import Verdict
from redoxa.pipeline.pages.kit.model import ResultRow
from redoxa.pipeline.pages.kit.svg import join, tag

CELL, GAP = 34.0, 3.0
CLASSES = 5
_PERIOD_STARTS = (1, 3, 11, 19, 37, 55, 87)
_NOBLE = (2, 10, 18, 36, 54, 86, 118)


@dataclass(frozen=True)
class ElementCount:
    """How often an element occurs among the candidates, and among those that passed."""

    symbol: str
    name: str
    candidates: int
    passed: int


def count_elements(rows: Iterable[ResultRow]) -> list[ElementCount]:
    """Elements of all candidates, the most frequent first."""
    from ase.data import atomic_names, atomic_numbers

    seen: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for row in rows:
        symbols = row.candidate.crystal.composition
        seen.update(symbols.keys())
        if row.result.verdict is Verdict.PASS:
            passed.update(symbols.keys())
    ordered = sorted(seen, key=lambda s: (-seen[s], atomic_numbers[s]))
    return [ElementCount(s, str(atomic_names[atomic_numbers[s]]), seen[s], passed[s]) for s in ordered]


@cache
def positions() -> dict[int, tuple[int, int]]:
    """Atomic number -> (column 0..17, row); rows 8 and 9 are the lanthanides and actinides."""
    places: dict[int, tuple[int, int]] = {}
    for row, (first, last) in enumerate(zip(_PERIOD_STARTS, _NOBLE, strict=True)):
        for z in range(first, last + 1):
            places[z] = _place(z, first, last, row)
    return places


def _place(z: int, first: int, last: int, row: int) -> tuple[int, int]:
    if z - first < 2 and z != 2:
        return z - first, row
    if row >= 5 and 2 <= z - first <= 15:
        return z - first, row + 3
    return 17 - (last - z), row


def periodic_table(counts: Iterable[ElementCount], allowed: Iterable[str], working_ion: str) -> Markup:
    """Heat map of the explored elements on a logarithmic scale of five steps; allowed but unseen ones are outlined."""
    from ase.data import chemical_symbols

    by_symbol = {c.symbol: c for c in counts}
    permitted = set(allowed)
    most = max((c.candidates for c in by_symbol.values()), default=0)
    cells = [
        _cell(str(chemical_symbols[z]), place, by_symbol, permitted, most, working_ion)
        for z, place in positions().items()
    ]
    width, height = 18 * (CELL + GAP) - GAP, 9.4 * (CELL + GAP)
    listed = ", ".join(f"{c.symbol} {c.candidates}" for c in by_symbol.values())
    return tag(
        "svg",
        join(cells),
        class_="ptable",
        viewBox=f"-2 -2 {width + 4:g} {height + 4:g}",
        role="img",
        aria_label=f"Candidates by element: {listed or 'none'}",
    )


def _cell(
    symbol: str,
    place: tuple[int, int],
    counts: dict[str, ElementCount],
    allowed: set[str],
    most: int,
    working_ion: str,
) -> Markup:
    column, row = place
    x, y = column * (CELL + GAP), row * (CELL + GAP) - (0.6 * CELL if row > 7 else 0.0)
    seen = counts.get(symbol)
    kind = f"h{heat(seen.candidates, most)}" if seen else ("permitted" if symbol in allowed else "absent")
    tip = None
    if seen:
        tip = f"{symbol}, {seen.name}\nin {seen.candidates} candidates\n{seen.passed} of them passed"
    elif symbol in allowed:
        tip = f"{symbol}\nallowed, in no candidate"
    ring = " ion" if symbol == working_ion else ""
    parts = [
        tag("rect", x=x, y=y, width=CELL, height=CELL, rx=4.0),
        tag("text", symbol, class_="symbol", x=x + CELL / 2, y=y + (15 if seen else 21), text_anchor="middle"),
    ]
    if seen:
        parts.append(tag("text", str(seen.candidates), class_="n", x=x + CELL / 2, y=y + 28, text_anchor="middle"))
    return tag("g", join(parts), class_=f"el {kind}{ring}", data_tip=tip)


def heat(count: int, most: int) -> int:
    """Step 1..5 of a count on a logarithmic scale that ends at `most`."""
    if count <= 0:
        return 0
    if most <= 1:
        return CLASSES
    return 1 + min(CLASSES - 1, int(CLASSES * math.log(count) / math.log(most + 1)))
