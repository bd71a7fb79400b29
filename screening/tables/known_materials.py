"""Build the table of known materials: fingerprints of published crystals, formulas of those without positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME, SAME_UNRELAXED, fingerprint
from redoxa.data.records import reduced_formula
from redoxa.data.tables.known_materials import KnownMaterial, KnownMaterials, write_known_materials
from redoxa.screening.tables.tasks import EnergyTask, dataset_tasks, library_tasks


def build_known_materials(
    out: Path,
    datasets: Sequence[Path],
    compositions: Sequence[Path] = (),
    on_step: Callable[[str, int, int], None] | None = None,
    library: bool = True,
) -> int:
    """Write the table of known materials (minutes) and return its number of rows.

    Args:
        out: table to write (parquet); the old one is replaced at the end, at once.
        datasets: parquet files of crystals (`reference_tasks.dataset_tasks`).
        compositions: parquet files with `material_id` and `atomic_numbers` alone, known by formula.
        on_step: called with (stage, done, total).
        library: take in the published phases of the prototype library too.
    """
    published = library_tasks() if library else ()
    tasks = [*published, *(task for path in datasets for task in dataset_tasks(path))]
    materials = []
    for i, task in enumerate(tasks):
        materials.append(known_material(task))
        if on_step is not None:
            on_step("fingerprints", i + 1, len(tasks))
    formulas = (row for path in compositions for row in known_formulas(path))
    return write_known_materials(out, [*one_of_each(materials), *formulas])


def known_facts(materials: KnownMaterials) -> dict[str, JsonValue]:
    """Counts and tolerances for the provenance record (`benchmarks/fingerprint.py` measures how good they are)."""
    return {
        "rows": len(materials),
        "with_fingerprint": sum(m.fingerprint is not None for m in materials),
        "formulas": len({m.formula for m in materials}),
        "rows_by_source": dict(Counter(m.source for m in materials)),
        "tolerance_relaxed": SAME,
        "tolerance_unrelaxed": SAME_UNRELAXED,
    }


def known_material(task: EnergyTask) -> KnownMaterial:
    """Fingerprint of a task's crystal; formula alone where the cell has none."""
    try:
        mark = fingerprint(task.crystal, symmetry=True)
    except StructureError:
        return KnownMaterial(task.crystal.formula, task.name, task.source)
    return KnownMaterial(mark.formula, task.name, task.source, mark.spacegroup, mark.packed())


def one_of_each(materials: Iterable[KnownMaterial]) -> list[KnownMaterial]:
    """Drop materials whose packed fingerprint is exactly that of an earlier one (two benchmark sets share crystals)."""
    kept: dict[tuple[str, bytes | None], KnownMaterial] = {}
    for material in materials:
        kept.setdefault((material.formula, material.fingerprint), material)
    return list(kept.values())


def known_formulas(path: Path) -> Iterator[KnownMaterial]:
    """Formula-only materials of a table with `material_id` and `atomic_numbers`."""
    import pandas as pd
    from ase.data import chemical_symbols

    frame = pd.read_parquet(path, columns=["material_id", "atomic_numbers"])
    for name, numbers in zip(frame["material_id"], frame["atomic_numbers"], strict=True):
        composition = Counter(chemical_symbols[z] for z in numbers)
        yield KnownMaterial(reduced_formula(dict(composition)), name, path.stem)
