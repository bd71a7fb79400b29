"""Crystals as sequences for training: space group, then orbits (element, Wyckoff position), then the free numbers.

Each crystal has its canonical form first and some equal ones after it (other origins and axes). Orbits go from the
least to the most electronegative element, within an element from the most special position on. The prepared file
holds the table of positions too, so that training needs numpy, safetensors and torch alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from redoxa.data.errors import InputError, StructureError
from redoxa.data.progress import OnStep
from redoxa.data.symmetry.positions import Integers, PositionTable, free_cell, position_table
from redoxa.data.tables.datasets import CrystalData

if TYPE_CHECKING:
    from redoxa.data.symmetry.symmetric import SymmetricCrystal

Floats32 = npt.NDArray[np.float32]

OTHER_FORMS = 3
"""Equal forms that are kept beside the canonical one."""


@dataclass(frozen=True)
class SequenceData:
    """B crystals in F forms of O orbits in all.

    Attributes:
        crystals: the crystals themselves, split and labels.
        capacity: of the lithium (else sodium) that redox elements pay for, mAh/g, NaN where there is none, float32 [B].
        first_form: first form of each crystal, the canonical one, and the end, int64 [B+1].
        groups: space group of each crystal, int64 [B].
        first_orbit: first orbit of each form and the end, int64 [F+1].
        cells: log lengths in A, then angles in radians, zero-padded, float32 [F,6].
        positions: Wyckoff position of each orbit by its place in `table`, int64 [O].
        numbers: its atomic number, int64 [O].
        free: its free coordinates in [0,1), zero-padded, float32 [O,3].
        table: the positions.
    """

    crystals: CrystalData
    capacity: Floats32
    first_form: Integers
    groups: Integers
    first_orbit: Integers
    cells: Floats32
    positions: Integers
    numbers: Integers
    free: Floats32
    table: PositionTable

    def __len__(self) -> int:
        return len(self.groups)

    def orbits(self, form: int) -> slice:
        """The orbits of a form."""
        return slice(int(self.first_orbit[form]), int(self.first_orbit[form + 1]))


def load_sequences(path: Path) -> SequenceData:
    """Read a file that `prepare_sequences` wrote.

    Raises:
        InputError: the file is missing or is none of these.
    """
    try:
        arrays = load_file(path)
        crystals = {f.name: arrays[f"crystals.{f.name}"] for f in fields(CrystalData)}
        crystals["held_out"] = crystals["held_out"].astype(bool)
        table = PositionTable(**{f.name: arrays[f"table.{f.name}"] for f in fields(PositionTable)})
        rest = {f.name: arrays[f.name] for f in fields(SequenceData) if f.name not in ("crystals", "table")}
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as prepared sequences ({error}); make them with `train`") from error
    return SequenceData(crystals=CrystalData(**crystals), table=table, **rest)


def prepare_sequences(data: CrystalData, out: Path, seed: int = 0, on_step: OnStep | None = None) -> SequenceData:
    """Find the symmetric forms of prepared crystals (about 50 ms each), write the file and return its content.

    Crystals without a symmetric form are left out.

    Args:
        data: see `data.tables.datasets.prepare`.
        out: file to write (safetensors).
        seed: of the choice among equal forms.
        on_step: called with how many are done, and of how many.

    Raises:
        InputError: none has one.
    """
    from redoxa.data.records import Crystal
    from redoxa.data.symmetry.normaliser import canonical, equal_forms
    from redoxa.data.symmetry.symmetric import symmetric

    rng = np.random.default_rng(seed)
    kept, forms, capacity = np.zeros(len(data), dtype=bool), [], []
    for i, (numbers, coords, cell) in enumerate(data):
        crystal = Crystal(numbers=numbers.tolist(), frac_coords=coords.tolist(), lattice_A=cell.tolist())
        try:
            form = canonical(symmetric(crystal, 0.01))
        except StructureError:
            continue
        kept[i] = True
        forms.append([form, *equal_forms(form, OTHER_FORMS, rng)])
        capacity.append(capacity_of(numbers.tolist()))
        if on_step is not None:
            on_step(i + 1, len(data))
    if not forms:
        raise InputError(f"{out}: none of {len(data)} crystals has a symmetric form; are the coordinates fractional?")
    found = _stacked(data.subset(kept), forms, capacity)
    _write(found, out)
    return found


def sequence_of(form: SymmetricCrystal, table: PositionTable) -> list[tuple[int, int, tuple[float, ...]]]:
    """Orbits of a form in order: position by its place in the table, atomic number, free coordinates."""
    rank = element_ranks()
    rows = [(table.index(form.group, o.letter), o.number, o.free) for o in form.orbits]
    return sorted(rows, key=lambda row: (rank[row[1]], row[0], row[2]))


@cache
def element_ranks() -> tuple[int, ...]:
    """Rank of each atomic number up to 103 by Pauling electronegativity, the least first; 0 for number 0."""
    from pymatgen.core import Element

    noble = (2, 10, 18)  # pymatgen warns when asked for their electronegativity
    order = sorted(range(1, 104), key=lambda z: (9.0 if z in noble else float(Element.from_Z(z).X), z))
    return (0, *(1 + order.index(z) for z in range(1, 104)))


def capacity_of(numbers: Sequence[int]) -> float:
    """Theoretical capacity by the lithium (else the sodium), mAh/g; NaN where there is neither."""
    from ase.data import chemical_symbols

    from redoxa.data.chemistry import theoretical_capacity_mAh_g

    content = Counter(chemical_symbols[z] for z in numbers)
    ion = next((ion for ion in ("Li", "Na") if ion in content), None)
    return float("nan") if ion is None else theoretical_capacity_mAh_g(content, ion)


def _stacked(crystals: CrystalData, forms: list[list[SymmetricCrystal]], capacity: list[float]) -> SequenceData:
    table = position_table()
    flat = [form for same in forms for form in same]
    rows = [sequence_of(form, table) for form in flat]
    orbits = [orbit for row in rows for orbit in row]
    free = np.zeros((len(orbits), 3), dtype=np.float32)
    for i, (_, _, coordinates) in enumerate(orbits):
        free[i, : len(coordinates)] = coordinates
    return SequenceData(
        crystals=crystals,
        capacity=np.array(capacity, dtype=np.float32),
        first_form=np.cumsum([0, *map(len, forms)]),
        groups=np.array([same[0].group for same in forms]),
        first_orbit=np.cumsum([0, *map(len, rows)]),
        cells=np.array([free_cell(form) for form in flat]),
        positions=np.array([position for position, _, _ in orbits]),
        numbers=np.array([number for _, number, _ in orbits]),
        free=free,
        table=table,
    )


def _write(found: SequenceData, out: Path) -> None:
    arrays = {name: value for name, value in vars(found).items() if name not in ("crystals", "table")}
    arrays |= {f"crystals.{name}": value for name, value in vars(found.crystals).items()}
    arrays["crystals.held_out"] = found.crystals.held_out.astype(np.uint8)
    arrays |= {f"table.{name}": value for name, value in vars(found.table).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, partial)
    partial.replace(out)
