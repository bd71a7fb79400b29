"""Known materials: is a crystal, or at least its formula, already published? Fingerprints, no positions. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import SAME, Fingerprint, distance, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.tables.reference import formula_elements

SHIPPED = "known_materials.parquet"
"""The table in `data/assets` that ships with the project."""

_COLUMNS = ("formula", "name", "source", "spacegroup", "fingerprint")


@dataclass(frozen=True)
class KnownMaterial:
    """One published material: fingerprint known, or only its formula (`fingerprint` None)."""

    formula: str
    name: str
    source: str
    spacegroup: int = 0
    fingerprint: bytes | None = None


@dataclass(frozen=True)
class KnownMatch:
    """What is already known of a crystal.

    Attributes:
        level: "structure" where a known crystal lies within the tolerance, else "formula": the composition is known,
            with another structure or with one that the table does not hold.
        formula: reduced formula.
        name: material id or prototype of the nearest known material.
        source: table it comes from.
        spacegroup: of the known material, 0 where unknown.
        distance: fingerprint distance; None where no structure of the formula is in the table.
    """

    level: Literal["structure", "formula"]
    formula: str
    name: str
    source: str
    spacegroup: int
    distance: float | None

    @property
    def text(self) -> str:
        """A short phrase for people."""
        group = f", space group {self.spacegroup}" if self.spacegroup else ""
        if self.level == "structure":
            return f"known: {self.formula} ({self.name}{group})"
        return f"known formula {self.formula} ({self.name}{group}), structure not found among the known ones"


class KnownMaterials:
    """Known materials by formula; a lookup compares with the structures of one formula only."""

    def __init__(self, materials: Iterable[KnownMaterial] = ()) -> None:
        self._by_formula: dict[str, list[KnownMaterial]] = {}
        for material in materials:
            self._by_formula.setdefault(material.formula, []).append(material)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._by_formula.values())

    def __iter__(self) -> Iterator[KnownMaterial]:
        for bucket in self._by_formula.values():
            yield from bucket

    def knows_formula(self, formula: str) -> bool:
        """True where a material of this reduced formula is known."""
        return formula in self._by_formula

    def formulas(self, elements: Iterable[str]) -> list[str]:
        """Known formulas of a chemical system and of its subsystems, sorted."""
        asked = frozenset(elements)
        return sorted(formula for formula in self._by_formula if formula_elements(formula) <= asked)

    def add(self, crystal: Crystal | Fingerprint, name: str, source: str) -> None:
        """Make a crystal known, for this process only."""
        mark = crystal if isinstance(crystal, Fingerprint) else fingerprint(crystal)
        material = KnownMaterial(mark.formula, name, source, mark.spacegroup, mark.packed())
        self._by_formula.setdefault(mark.formula, []).append(material)

    def nearest(self, crystal: Crystal | Fingerprint, tolerance: float = SAME) -> KnownMatch | None:
        """The known material nearest to a crystal, or None where not even its formula is known.

        Args:
            crystal: a crystal or its fingerprint.
            tolerance: `data.fingerprint.SAME` after relaxation, `SAME_UNRELAXED` before.
        """
        formula = crystal.formula
        bucket = self._by_formula.get(formula)
        if not bucket:
            return None
        pictured = [m for m in bucket if m.fingerprint is not None]
        if not pictured:
            first = bucket[0]
            return KnownMatch("formula", formula, first.name, first.source, first.spacegroup, None)
        mark = crystal if isinstance(crystal, Fingerprint) else fingerprint(crystal)
        gaps = [distance(mark, Fingerprint.unpack(formula, m.fingerprint or b"")) for m in pictured]
        best = min(range(len(gaps)), key=lambda i: round(gaps[i], 6))
        level: Literal["structure", "formula"] = "structure" if gaps[best] <= tolerance else "formula"
        found = pictured[best]
        return KnownMatch(level, formula, found.name, found.source, found.spacegroup, gaps[best])


def load_known_materials(path: str | Path | None = None) -> KnownMaterials:
    """Load a table of known materials, by default the one that ships.

    Raises:
        InputError: the table is missing or is none of ours.
    """
    return _read(shipped(SHIPPED) if path is None else Path(path))


@cache
def known_formulas() -> frozenset[str]:
    """Reduced formulas of the table that ships, read without the rest of it (15 ms instead of half a second)."""
    import pyarrow.parquet as pq

    return frozenset(pq.ParquetFile(shipped(SHIPPED)).read(columns=["formula"]).column(0).to_pylist())


def _read(path: Path) -> KnownMaterials:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table of known materials ({error})") from error
    lacking = [name for name in _COLUMNS if name not in table.column_names]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; write it with `redoxa reference build`")
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    return KnownMaterials(KnownMaterial(*row) for row in zip(*columns, strict=True))


def write_known_materials(path: Path, materials: Iterable[KnownMaterial]) -> int:
    """Write a table (parquet, zstd) in place of any old one, atomically; return its number of rows.

    Formula-only rows are left out where the formula has a fingerprinted structure, and kept once a formula.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    all_rows = list(materials)
    pictured = [m for m in all_rows if m.fingerprint is not None]
    formulas = {m.formula for m in pictured}
    only = {m.formula: m for m in reversed(all_rows) if m.formula not in formulas}
    rows = sorted([*pictured, *only.values()], key=lambda m: (m.formula, m.name))
    text = pa.dictionary(pa.int32(), pa.string())
    fields = [("formula", pa.string()), ("name", pa.string()), ("source", text), ("spacegroup", pa.int16())]
    schema = pa.schema([*fields, ("fingerprint", pa.binary())])
    columns = {name: [getattr(m, name) for m in rows] for name in _COLUMNS}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(pa.table(columns, schema=schema), partial, compression="zstd", compression_level=19)
    partial.replace(path)
    return len(rows)
