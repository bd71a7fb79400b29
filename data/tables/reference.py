"""Reference energies: what a new crystal competes with. Reads tables; computes nothing. No torch, no pandas.

A table holds the lowest energy of each formula on one energy scale (level of theory, corrections and the model that
computed it). Energies of two scales are never mixed: subtracting them gives numbers that mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from redoxa.data.errors import InputError
from redoxa.data.shipped import shipped

if TYPE_CHECKING:
    import pyarrow as pa
    from pymatgen.analysis.phase_diagram import PDEntry

EnergyKind = Literal["relaxed", "partly_relaxed", "single_point"]

SHIPPED = "reference_chgnet.parquet"
"""The table in `data/assets` that ships with the project."""

_COLUMNS = ("formula", "energy_eV_per_atom", "name", "source", "kind", "polymorphs")
_ELEMENT = re.compile(r"[A-Z][a-z]?")


@dataclass(frozen=True)
class ReferenceEntry:
    """The lowest energy known for a formula.

    Attributes:
        formula: reduced formula.
        energy_eV_per_atom: energy by atom, on the scale of its table.
        name: material id or prototype of the structure that has it.
        source: table it comes from.
        kind: "relaxed" by the potential itself, "partly_relaxed" where it ran out of steps, or "single_point" at the
            geometry of the source; the last two lie somewhat too high.
        polymorphs: how many structures of the formula were computed.
    """

    formula: str
    energy_eV_per_atom: float
    name: str
    source: str
    kind: EnergyKind
    polymorphs: int = 1

    @cached_property
    def elements(self) -> frozenset[str]:
        """Element symbols of the formula."""
        return formula_elements(self.formula)


@dataclass(frozen=True)
class Coverage:
    """How much is known of a chemical system; a hull distance means little without it.

    Attributes:
        elements: the system, sorted.
        n_phases: reference phases in it and its subsystems, elements included.
        n_full: those that hold every element of the system.
        n_relaxed: those relaxed by the potential itself.
        n_without_energy: published formulas of the system that have no reference energy, where the caller named them.
        missing: elements without a reference energy; with any, there is no hull.
    """

    elements: tuple[str, ...]
    n_phases: int
    n_full: int
    n_relaxed: int
    n_without_energy: int = 0
    missing: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One sentence for people."""
        system = "-".join(self.elements)
        if self.missing:
            return f"no reference energy for {', '.join(self.missing)}: no hull in {system}"
        known = f"against {self.n_phases} reference phases in {system}, {self.n_full} of them with all its elements"
        more = f"; {self.n_without_energy} more published formulas have no reference energy"
        return known + (more if self.n_without_energy else "")


class Reference:
    """The reference energies of one scale, looked up by chemical system."""

    def __init__(self, entries: Iterable[ReferenceEntry], scale: str) -> None:
        self.scale = scale
        self._by_system: dict[frozenset[str], dict[str, ReferenceEntry]] = {}
        for entry in entries:
            system = self._by_system.setdefault(entry.elements, {})
            known = system.get(entry.formula)
            system[entry.formula] = entry if known is None else _lower(known, entry)

    def __len__(self) -> int:
        return sum(len(system) for system in self._by_system.values())

    def __iter__(self) -> Iterator[ReferenceEntry]:
        for system in self._by_system.values():
            yield from system.values()

    def entries(self, elements: Iterable[str]) -> list[ReferenceEntry]:
        """Entries of a chemical system and of all its subsystems, elements included, ordered by formula."""
        asked = frozenset(elements)
        found = [e for system, known in self._by_system.items() if system <= asked for e in known.values()]
        return sorted(found, key=lambda entry: entry.formula)

    def coverage(self, elements: Iterable[str], published: Iterable[str] = ()) -> Coverage:
        """Count what is known of a chemical system.

        Args:
            elements: the system.
            published: formulas known to exist (`KnownMaterials.formulas`), to count those without an
                energy.
        """
        asked = frozenset(elements)
        found = self.entries(asked)
        return Coverage(
            elements=tuple(sorted(asked)),
            n_phases=len(found),
            n_full=sum(entry.elements == asked for entry in found),
            n_relaxed=sum(entry.kind == "relaxed" for entry in found),
            n_without_energy=len(set(published) - {entry.formula for entry in found}),
            missing=tuple(sorted(e for e in asked if e not in self.elements)),
        )

    @cached_property
    def elements(self) -> dict[str, ReferenceEntry]:
        """The lowest energy of each element, by symbol."""
        return {next(iter(s)): next(iter(k.values())) for s, k in self._by_system.items() if len(s) == 1}

    def ion_metal_energy(self, element: str) -> float:
        """Energy of the elemental metal in eV/atom, the other electrode of a half-cell.

        Raises:
            InputError: the table lacks the element.
        """
        if element not in self.elements:
            raise InputError(f"the reference has no elemental {element}; add its structure with `redoxa reference add`")
        return self.elements[element].energy_eV_per_atom

    def pd_entries(self, elements: Iterable[str]) -> list[PDEntry]:
        """The entries of a chemical system for pymatgen's `PhaseDiagram`.

        Raises:
            InputError: an element of the system has no reference energy, so that there is no hull.
        """
        from pymatgen.analysis.phase_diagram import PDEntry
        from pymatgen.core import Composition

        coverage = self.coverage(elements)
        if coverage.missing:
            raise InputError(coverage.text)
        compositions = [(Composition(e.formula), e) for e in self.entries(elements)]
        return [PDEntry(c, e.energy_eV_per_atom * c.num_atoms, name=e.name) for c, e in compositions]

    def require_scale(self, scale: str) -> None:
        """Refuse energies of another scale.

        Raises:
            InputError: the scales differ.
        """
        if scale != self.scale:
            raise InputError(mixed_scales("these energies are", scale, self.scale))

    def merged(self, other: Reference) -> Reference:
        """Both tables as one; the lower energy of a formula wins.

        Raises:
            InputError: the scales differ.
        """
        self.require_scale(other.scale)
        return Reference([*self, *other], self.scale)


def load_reference(path: str | Path | None = None, extra: Sequence[str | Path] = ()) -> Reference:
    """Load a reference table; by default the one that ships, on the scale of CHGNet 0.3.0.

    Args:
        path: another table, written by `redoxa reference build`.
        extra: tables to merge into it, written by `redoxa reference add`.

    Raises:
        InputError: a table is missing, is none of ours, or is on another scale than the first.
    """
    entries, scale = read_table(shipped(SHIPPED) if path is None else Path(path))
    for other in map(Path, extra):
        more, other_scale = read_table(other)
        if other_scale != scale:
            raise InputError(mixed_scales(f"{other} is", other_scale, scale))
        entries = entries + more
    return Reference(entries, scale)


def read_table(path: Path) -> tuple[list[ReferenceEntry], str]:
    """Entries and scale of a reference table.

    Raises:
        InputError: missing, unreadable, or not a reference table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a reference table ({error})") from error
    scale = (table.schema.metadata or {}).get(b"energy_scale")
    lacking = [name for name in _COLUMNS if name not in table.column_names]
    if scale is None or lacking:
        what = f"lacks {', '.join(lacking)}" if lacking else "does not say its energy scale"
        raise InputError(f"{path}: {what}; write such tables with `redoxa reference build` or `redoxa reference add`")
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    return [ReferenceEntry(*row) for row in zip(*columns, strict=True)], scale.decode()


def write_table(path: Path, entries: Iterable[ReferenceEntry], scale: str) -> None:
    """Write a table (parquet, zstd) in place of any old one, atomically; energies rounded to 0.01 meV/atom."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(_to_arrow(entries, scale), partial, compression="zstd", compression_level=19)
    partial.replace(path)


def _to_arrow(entries: Iterable[ReferenceEntry], scale: str) -> pa.Table:
    import pyarrow as pa

    rows = sorted(entries, key=lambda e: (e.formula, e.energy_eV_per_atom))
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("formula", pa.string()),
            ("energy_eV_per_atom", pa.float64()),
            ("name", pa.string()),
            ("source", text),
            ("kind", text),
            ("polymorphs", pa.int16()),
        ],
        metadata={"energy_scale": scale},
    )
    columns = {
        "formula": [e.formula for e in rows],
        "energy_eV_per_atom": [round(e.energy_eV_per_atom, 5) for e in rows],
        "name": [e.name for e in rows],
        "source": [e.source for e in rows],
        "kind": [e.kind for e in rows],
        "polymorphs": [e.polymorphs for e in rows],
    }
    return pa.table(columns, schema=schema)


def energy_scale(level: str, model_id: str) -> str:
    """The one string that names a scale, e.g. ``MP2020-corrected PBE/PBE+U by chgnet-0.3.0``.

    Two models trained to one level of theory still differ by tens of meV/atom, in ways that do not cancel, so the model
    belongs to the scale.
    """
    return f"{level} by {model_id}"


def formula_elements(formula: str) -> frozenset[str]:
    """Element symbols in a formula."""
    return frozenset(_ELEMENT.findall(formula))


def _lower(a: ReferenceEntry, b: ReferenceEntry) -> ReferenceEntry:
    lower = b if b.energy_eV_per_atom < a.energy_eV_per_atom else a
    return replace(lower, polymorphs=a.polymorphs + b.polymorphs)


def mixed_scales(subject: str, scale: str, wanted: str) -> str:
    """The message of a refusal, e.g. for subject "these energies are"."""
    return (
        f"{subject} on the scale '{scale}', the reference on '{wanted}'. Scales are never mixed in one hull: "
        "give the structures to `redoxa reference add`, which computes them on the reference's scale"
    )
