"""What the reference table is computed from: elements, published prototypes, and the crystals of the shared data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ase.data import atomic_numbers, reference_states

from data.prototypes import build_crystal
from data.records import Crystal, content_hash
from data.reference import EnergyKind
from data.structures import from_atoms
from data.units import ION_VALENCE

WORKING_IONS = frozenset(atomic_numbers[e] for e in ION_VALENCE)
COMMON_REDOX_METALS = frozenset({22, 23, 24, 25, 26, 27, 28, 29, 41, 42})  # Ti V Cr Mn Fe Co Ni Cu Nb Mo
REDOX_METALS = COMMON_REDOX_METALS | {47, 50, 51, 74, 75, 83}  # Ag Sn Sb W Re Bi
COMMON_ANION_FORMERS = frozenset({5, 8, 9, 14, 15, 16})  # B O F Si P S
ANION_FORMERS = COMMON_ANION_FORMERS | {1, 6, 7, 17, 34}  # H C N Cl Se
RARE = frozenset({2, 10, 18, 36, 54, 43, 61, *range(84, 119)})
"""Noble gases and elements without a stable isotope."""

# Ground states that ASE's table of simple lattices lacks: space group, cell, sites, source.
_ELEMENT_CELLS: Mapping[str, tuple[str, tuple[float, ...], tuple[tuple[float, float, float], ...], str]] = {
    "Mn": (
        "I-43m",
        (8.9125, 8.9125, 8.9125, 90, 90, 90),
        ((0, 0, 0), (0.3176, 0.3176, 0.3176), (0.3570, 0.3570, 0.0342), (0.0895, 0.0895, 0.2818)),
        "alpha-Mn, J. A. Oberteuffer, J. A. Ibers, Acta Cryst. B 26, 1499 (1970)",
    ),
    "C": (
        "P6_3/mmc",
        (2.464, 2.464, 6.711, 90, 90, 120),
        ((0, 0, 0.25), (1 / 3, 2 / 3, 0.25)),
        "graphite, P. Trucano, R. Chen, Nature 258, 136 (1975)",
    ),
    "Bi": (
        "R-3m:H",
        (4.546, 4.546, 11.862, 90, 90, 120),
        ((0, 0, 0.23389),),
        "rhombohedral Bi, P. Cucka, C. S. Barrett, Acta Cryst. 15, 865 (1962)",
    ),
    "Sn": (
        "Fd-3m:1",
        (6.4892, 6.4892, 6.4892, 90, 90, 90),
        ((0, 0, 0),),
        "grey Sn, J. Thewlis, A. R. Davey, Nature 174, 1011 (1954)",
    ),
    "In": (
        "I4/mmm",
        (3.2523, 3.2523, 4.9461, 90, 90, 90),
        ((0, 0, 0),),
        "tetragonal In, J. Graham, A. Moore, G. V. Raynor, J. Inst. Met. 84, 86 (1955)",
    ),
    "I": (
        "Cmce",
        (7.136, 4.686, 9.784, 90, 90, 90),
        ((0, 0.15434, 0.11741),),
        "iodine, F. van Bolhuis, P. B. Koster, T. Migchelsen, Acta Cryst. 23, 90 (1967)",
    ),
}


@dataclass(frozen=True)
class Task:
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


def dataset_tasks(path: Path) -> Iterator[Task]:
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
        yield Task(crystal, name + suffix, path.stem)


def element_tasks() -> Iterator[Task]:
    """Relaxation tasks of the elements in their simple published lattices, and of a few that are not simple."""
    from ase.build import bulk

    for symbol, z in atomic_numbers.items():
        state = reference_states[z] if 0 < z < len(reference_states) and z not in RARE else None
        if symbol in _ELEMENT_CELLS:
            group, cell, sites, source = _ELEMENT_CELLS[symbol]
            crystal, _ = build_crystal(group, cell, [symbol] * len(sites), sites)
            yield Task(crystal, source.partition(",")[0], "elements", "relaxed")
        elif state and state["symmetry"] in ("fcc", "bcc", "hcp", "diamond") and "basis" not in state:
            yield Task(from_atoms(bulk(symbol)), f"{state['symmetry']} {symbol}", "elements", "relaxed")


def prototype_tasks() -> Iterator[Task]:
    """Relaxation tasks of the published electrodes and of the simple phases they compete with."""
    from data import prototypes

    for library in prototypes.LIBRARIES:
        for entry in prototypes.load_prototypes(library):
            yield Task(entry.crystal, entry.name, "prototypes", "relaxed")


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


def by_relevance(tasks: Iterable[Task]) -> list[Task]:
    """Battery chemistries first, then few elements and small cells, so that an early stop leaves the useful part."""

    def rank(task: Task) -> tuple[int, int, int, str]:
        numbers = task.crystal.numbers
        return -relevance(numbers), len(set(numbers)), len(numbers), task.crystal_hash

    return sorted(tasks, key=rank)
