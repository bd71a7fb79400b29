"""What the reference is computed from: published simple phases and electrodes, and the crystals of the shared data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ase.data import atomic_numbers

from redoxa.data.records import Crystal, content_hash
from redoxa.data.tables.reference import EnergyKind
from redoxa.data.units import ION_VALENCE

WORKING_IONS = frozenset(atomic_numbers[e] for e in ION_VALENCE)
COMMON_REDOX_METALS = frozenset({22, 23, 24, 25, 26, 27, 28, 29, 41, 42})  # Ti V Cr Mn Fe Co Ni Cu Nb Mo
REDOX_METALS = COMMON_REDOX_METALS | {47, 50, 51, 74, 75, 83}  # Ag Sn Sb W Re Bi
COMMON_ANION_FORMERS = frozenset({5, 8, 9, 14, 15, 16})  # B O F Si P S
ANION_FORMERS = COMMON_ANION_FORMERS | {1, 6, 7, 17, 34}  # H C N Cl Se
RARE = frozenset({2, 10, 18, 36, 54, 43, 61, *range(84, 119)})
"""Noble gases and elements without a stable isotope."""


@dataclass(frozen=True)
class EnergyTask:
    """One energy to compute.

    `name` is a material id or a prototype's name, `source` the table it comes from.
    """

    crystal: Crystal
    name: str
    source: str
    kind: EnergyKind = "single_point"

    @cached_property
    def crystal_hash(self) -> str:
        """Hash of the crystal alone: pairs a relaxation with the single point it started from."""
        return self.crystal.content_hash

    def key(self, model_id: str, settings_hash: str) -> str:
        """Identity of the result: crystal, kind, model, and settings where they matter."""
        settings = settings_hash if self.kind == "relaxed" else ""
        return content_hash([self.crystal_hash, self.kind, model_id, settings])


def dataset_tasks(path: Path) -> Iterator[EnergyTask]:
    """Single-point tasks of a table with `atomic_numbers`, `frac_coords`, `cell` and `material_id`.

    The rows of `li_electrodes` carry the id of their host, so the name says that lithium was put in.
    """
    import pandas as pd

    columns = ["material_id", "atomic_numbers", "frac_coords", "cell"]
    frame = pd.read_parquet(path, columns=columns)
    suffix = " + Li" if path.stem == "li_electrodes" else ""
    for name, numbers, fracs, cell in zip(*(frame[column] for column in columns), strict=True):
        crystal = Crystal(
            numbers=numbers.tolist(),
            frac_coords=fracs.reshape(-1, 3).tolist(),
            lattice_A=cell.reshape(3, 3).tolist(),
        )
        yield EnergyTask(crystal, name + suffix, path.stem)


def library_tasks() -> Iterator[EnergyTask]:
    """Relaxation tasks of the published simple phases (elements included) and of the published electrodes."""
    from redoxa.data.tables.prototypes import load_prototypes
    from redoxa.data.tables.reference_phases import load_reference_structures

    for name, crystal in load_reference_structures():
        yield EnergyTask(crystal, name, "reference_phases", "relaxed")
    for entry in load_prototypes():
        yield EnergyTask(entry.crystal, entry.name, "prototypes", "relaxed")


def relevance(numbers: Iterable[int]) -> int:
    """How useful a crystal is as a competitor of an electrode, 0 to 4.

    4: only working ions, the common redox metals and the common anion formers; 3: only working ions, redox metals and
    anion formers; 2: holds a working ion, or a redox metal with an anion former; 1: any other; 0: holds a noble gas or
    an element without a stable isotope.
    """
    elements = frozenset(numbers)
    if elements & RARE:
        return 0
    if elements <= WORKING_IONS | COMMON_REDOX_METALS | COMMON_ANION_FORMERS:
        return 4
    if elements <= WORKING_IONS | REDOX_METALS | ANION_FORMERS:
        return 3
    return 2 if elements & WORKING_IONS or (elements & REDOX_METALS and elements & ANION_FORMERS) else 1


def by_relevance(tasks: Iterable[EnergyTask]) -> list[EnergyTask]:
    """Battery chemistries first, then few elements and small cells, so that an early stop leaves the useful part."""

    def rank(task: EnergyTask) -> tuple[int, int, int, str]:
        numbers = task.crystal.numbers
        return -relevance(numbers), len(set(numbers)), len(numbers), task.crystal_hash

    return sorted(tasks, key=rank)
