"""Compute the library of templates from the relaxed crystals of the reference's work file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import Template, template_of, write_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.screening.tables.energies import LIBRARIES, LITHIATED, TEMPLATE_ATOMS, Row

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
    set_aside: dict[str, int] = field(default_factory=dict)


def build_templates(
    out: Path, rows: Iterable[Row], workers: int = 1, on_step: Callable[[int, int], None] | None = None
) -> LibraryFacts:
    """Write the table of templates of the small crystals, and of the published phases, whose relaxation converged.

    Args:
        out: table to write (parquet); the old one is replaced at the end, at once.
        rows: results of `reference_build`, relaxed crystals among them.
        workers: processes that look for symmetry.
        on_step: called with (done, total).
    """
    wanted = (r for r in rows if r.n_atoms <= TEMPLATE_ATOMS or r.source in LIBRARIES)
    relaxed = [r for r in wanted if r.crystal is not None and r.source != LITHIATED]
    facts = LibraryFacts(crystals=len(relaxed))
    found: dict[object, list[Template]] = defaultdict(list)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for i, made in enumerate(pool.map(_template, relaxed, chunksize=64)):
            if isinstance(made, str):
                facts.set_aside[made] = facts.set_aside.get(made, 0) + 1
            else:
                add_template(found[made.form.group, tuple((o.letter, o.number) for o in made.form.orbits)], made)
            if on_step is not None:
                on_step(i + 1, len(relaxed))
    templates = [template for same in found.values() for template in same]
    facts.templates, facts.skeletons = len(templates), len({t.skeleton for t in templates})
    write_templates(out, templates)
    return facts


def _template(row: Row) -> Template | str:
    """The template of a relaxed crystal, or why there is none."""
    if not row.converged:
        return "not converged"
    try:
        return template_of(canonical(symmetric(Crystal.model_validate(row.crystal), SYMPREC_A)))
    except StructureError as error:
        return str(error).partition(":")[2].strip()


def add_template(same: list[Template], new: Template) -> None:
    """Count a crystal to the template that it equals, or let it be one."""
    for i, other in enumerate(same):
        if alike(new.form, other.form):
            same[i] = replace(other, count=other.count + 1)
            return
    same.append(new)


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
