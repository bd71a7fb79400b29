"""Compute the library of templates from the relaxed crystals of the reference's work file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.errors import StructureError
from data.normaliser import canonical
from data.records import Crystal
from data.skeletons import Template, template_of, write_templates
from data.symmetric import SymmetricCrystal, symmetric
from screening.reference_build import LITHIATED, TEMPLATE_ATOMS, Row

SYMPREC_A = 0.02
"""Relaxation keeps the symmetry of its start up to rounding; this is above the rounding and below any distortion."""

LENGTH_TOLERANCE = 0.03
FREE_TOLERANCE = 0.03
"""Relative difference of lengths, and difference of free coordinates and of angles over 90 degrees, within which two
crystals of one decorated skeleton count as one template."""


@dataclass
class LibraryFacts:
    """What became of the relaxed crystals."""

    crystals: int = 0
    templates: int = 0
    skeletons: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)


def build_templates(out: Path, rows: Iterable[Row], on_step: Callable[[int, int], None] | None = None) -> LibraryFacts:
    """Write the table of templates of all small crystals whose relaxation converged.

    Args:
        out: table to write (parquet); the old one is replaced at the end, at once.
        rows: results of `reference_build`, relaxed crystals among them.
        on_step: called with (done, total).
    """
    relaxed = [r for r in rows if r.crystal is not None and r.n_atoms <= TEMPLATE_ATOMS and r.source != LITHIATED]
    facts = LibraryFacts(crystals=len(relaxed))
    found: dict[object, list[Template]] = defaultdict(list)
    for i, row in enumerate(relaxed):
        try:
            _add(found, row)
        except StructureError as error:
            facts.set_aside[str(error).partition(":")[2].strip()] += 1
        if on_step is not None:
            on_step(i + 1, len(relaxed))
    templates = [template for same in found.values() for template in same]
    facts.templates, facts.skeletons = len(templates), len({t.skeleton for t in templates})
    write_templates(out, templates)
    return facts


def _add(found: dict[object, list[Template]], row: Row) -> None:
    """Count a crystal to the template that it equals, or make it one."""
    if not row.converged:
        raise StructureError(f"{row.name}: not converged")
    form = canonical(symmetric(Crystal.model_validate(row.crystal), SYMPREC_A))
    template = template_of(form)
    same = found[form.group, tuple((o.letter, o.number) for o in form.orbits)]
    for i, other in enumerate(same):
        if alike(form, other.form):
            same[i] = replace(other, count=other.count + 1)
            return
    same.append(template)


def alike(a: SymmetricCrystal, b: SymmetricCrystal) -> bool:
    """Whether two forms with the same orbits are one crystal but for small differences of their numbers."""
    free = (
        abs((x - y + 0.5) % 1.0 - 0.5)
        for o, p in zip(a.orbits, b.orbits, strict=True)
        for x, y in zip(o.free, p.free, strict=True)
    )
    angles = (abs(x - y) / 90.0 for x, y in zip(a.angles_deg, b.angles_deg, strict=True))
    lengths = (abs(x / y - 1.0) for x, y in zip(a.lengths_A, b.lengths_A, strict=True))
    return all(x < LENGTH_TOLERANCE for x in lengths) and all(x < FREE_TOLERANCE for x in (*free, *angles))
