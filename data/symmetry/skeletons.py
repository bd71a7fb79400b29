"""The library of templates: symmetric crystals as our own potential relaxes them, and how often each skeleton occurs.

A *skeleton* is a space group with its occupied Wyckoff orbits and which of them bear the same element; a template is a
skeleton with elements, free coordinates and cell. `screening.tables.skeleton_library` computes the table that ships; it
holds no source ids and no source coordinates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from redoxa.data.errors import InputError
from redoxa.data.provenance import sha256_of
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.normaliser import relabellings
from redoxa.data.symmetry.symmetric import (
    LENGTHS,
    Orbit,
    SymmetricCrystal,
    cell_parameters,
    cell_volumes_A3,
    crystal_system,
    n_cell_parameters,
)
from redoxa.data.symmetry.wyckoff import Floats, Integers, centring, space_group

if TYPE_CHECKING:
    from pyarrow import Array

SHIPPED = "templates.parquet"
"""The table in `data/assets` that ships with the project."""

COLUMNS = ("group", "letters", "others", "numbers", "atoms", "free", "cell", "count")

HEAVIEST = 103
"""Largest atomic number in a table."""

Skeleton = tuple[int, tuple[str, ...]]
"""Space group, and the letters of each species: ``(225, ("a", "b"))`` is rock salt. The least of all equal choices of
origin and axes."""

OrbitSet = tuple[int, tuple[tuple[int, int], ...]]
"""Space group, and sites in the primitive cell and free coordinates of all occupied orbits: equal for all choices of
origin and axes, so that crystals which differ here differ in their skeletons, whatever their elements."""


@dataclass(frozen=True)
class Template:
    """A relaxed crystal as a template.

    Attributes:
        form: canonical symmetric form.
        atoms: atoms of each orbit in the primitive cell.
        letters: of the orbits in order, under each choice of origin and axes that gives others; that of the form first.
        count: source crystals that relax to it.
    """

    form: SymmetricCrystal
    atoms: tuple[int, ...]
    letters: tuple[str, ...]
    count: int = 1

    @cached_property
    def composition(self) -> dict[int, int]:
        """Atoms by atomic number in the primitive cell."""
        return self.composition_with([orbit.number for orbit in self.form.orbits])

    def composition_with(self, numbers: Sequence[int]) -> dict[int, int]:
        """The same with these elements on its orbits."""
        found: Counter[int] = Counter()
        for number, atoms in zip(numbers, self.atoms, strict=True):
            found[number] += int(atoms)
        return dict(found)

    @cached_property
    def volume_A3(self) -> float:
        """Volume of the primitive cell."""
        return float(np.linalg.det(self.form.conventional_lattice_A)) / centring(self.form.group)

    @cached_property
    def skeleton(self) -> Skeleton:
        """What is left without elements and numbers."""
        return self.form.group, min(_by_species(letters, self.form.orbits) for letters in self.letters)

    def decorated(self, numbers: Sequence[int]) -> tuple[object, ...]:
        """The skeleton with these elements on its orbits; equal for equal crystals, whatever the origin and axes."""
        return self.form.group, min(sorted(zip(letters, numbers, strict=True)) for letters in self.letters)


def _by_species(letters: str, orbits: Sequence[Orbit]) -> tuple[str, ...]:
    species: dict[int, list[str]] = {}
    for letter, orbit in zip(letters, orbits, strict=True):
        species.setdefault(orbit.number, []).append(letter)
    return tuple(sorted("".join(sorted(each)) for each in species.values()))


def template_of(form: SymmetricCrystal, count: int = 1) -> Template:
    """A template of a canonical form."""
    group = space_group(form.group)
    atoms = tuple(group.position(o.letter).multiplicity // centring(form.group) for o in form.orbits)
    own = "".join(o.letter for o in form.orbits)
    moved = {"".join(letters[x] for x in own) for letters in relabellings(form.group)}
    return Template(form, atoms, (own, *sorted(moved - {own})), count)


class TemplateTable:
    """Templates by columns; a `Template` is built when it is asked for.

    Attributes:
        counts: source crystals that relax to each, int [n].
        compositions: atoms in the primitive cell by atomic number, int [n, 104].
        volumes_A3: of the primitive cells, float [n].
        groups: space groups, int [n].
        first_orbit: where the orbits of each begin in the next three, and the end, int [n+1].
        orbit_numbers: atomic number of each orbit, int [sum of orbits].
        orbit_atoms: atoms of each orbit in the primitive cell, likewise.
        orbit_free: free coordinates of each orbit, likewise.
        sha256: of the file.

    Raises:
        InputError: the file is missing or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(path).read(columns=list(COLUMNS)).combine_chunks()
            self._columns = {name: table.column(name).combine_chunks() for name in COLUMNS}
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise InputError(f"{path}: cannot be read as a table of templates ({error})") from error
        self.sha256 = sha256_of(path)
        self._check(path)
        self.counts: Integers = _integers(self._columns["count"])
        self.compositions: Integers = np.zeros((len(self), HEAVIEST + 1), dtype=np.int64)
        self.groups: Integers = _integers(self._columns["group"])
        orbits = _integers(self._columns["numbers"].value_lengths())
        self.first_orbit: Integers = np.concatenate([[0], np.cumsum(orbits)])
        self.orbit_numbers = _integers(self._columns["numbers"].values)
        self.orbit_atoms = _integers(self._columns["atoms"].values)
        self.orbit_free = _integers(self._columns["free"].values.value_lengths())
        rows = np.repeat(np.arange(len(self)), orbits)
        np.add.at(self.compositions, (rows, self.orbit_numbers), self.orbit_atoms)
        self.volumes_A3 = self._volumes(path)

    def __len__(self) -> int:
        return len(self._columns["group"])

    def __getitem__(self, index: int) -> Template:
        """The template at a place in the table."""
        row = {name: column[index].as_py() for name, column in self._columns.items()}
        lengths = len(set(LENGTHS[crystal_system(row["group"])]))
        orbits = zip(row["letters"], row["numbers"], row["free"], strict=True)
        form = SymmetricCrystal(
            group=row["group"],
            orbits=tuple(Orbit(letter, number, tuple(free)) for letter, number, free in orbits),
            lengths_A=tuple(row["cell"][:lengths]),
            angles_deg=tuple(row["cell"][lengths:]),
        )
        return Template(form, tuple(row["atoms"]), (row["letters"], *row["others"]), row["count"])

    def __iter__(self) -> Iterator[Template]:
        return (self[i] for i in range(len(self)))

    @cached_property
    def orbit_sets(self) -> frozenset[OrbitSet]:
        """The occupied orbits of all templates."""
        orbits = list(zip(self.orbit_atoms.tolist(), self.orbit_free.tolist(), strict=True))
        starts = self.first_orbit.tolist()
        return frozenset(
            (group, tuple(sorted(orbits[starts[i] : starts[i + 1]]))) for i, group in enumerate(self.groups.tolist())
        )

    def _check(self, path: Path) -> None:
        """Refuse what would only be found when a template is asked for."""
        import pyarrow.compute as pc

        orbits = pc.utf8_length(self._columns["letters"])
        limits = pc.min_max(self._columns["group"]).as_py()
        for name in ("numbers", "atoms", "free"):
            if not self._columns[name].value_lengths().equals(orbits):
                raise InputError(f"{path}: a template has a row of the wrong length ({name})")
        if len(self) and not 1 <= limits["min"] <= limits["max"] <= 230:
            raise InputError(f"{path}: a template has a space group beyond 1 to 230")
        if (pc.max(self._columns["numbers"].values).as_py() or 0) > HEAVIEST:
            raise InputError(f"{path}: a template holds an element beyond number {HEAVIEST}")

    def _volumes(self, path: Path) -> Floats:
        cells = self._columns["cell"]
        groups, lengths = self.groups, _integers(cells.value_lengths())
        values, ends = np.from_dlpack(cells.values).astype(np.float64), np.cumsum(lengths)
        found = np.zeros(len(self))
        for group in np.unique(groups).tolist():
            rows = np.flatnonzero(groups == group)
            free = n_cell_parameters(group)
            if (lengths[rows] != free).any():
                raise InputError(f"{path}: a template of space group {group} has a row of the wrong length (cell)")
            parameters = cell_parameters(group, values[ends[rows, None] - free + np.arange(free)])
            found[rows] = cell_volumes_A3(parameters) / centring(group)
        return found


def _integers(column: Array) -> Integers:
    """An arrow column as an array; its own `to_numpy` would load pandas."""
    return np.from_dlpack(column).astype(np.int64)


def load_templates(path: Path | None = None) -> TemplateTable:
    """Read a table of templates, by default the one that ships.

    Raises:
        InputError: the table is missing or is none of ours.
    """
    return TemplateTable(shipped(SHIPPED) if path is None else path)


def write_templates(path: Path, templates: Iterable[Template]) -> int:
    """Write a table (parquet, zstd) in place of any old one, atomically; return its number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(templates, key=lambda t: (t.form.group, t.skeleton, [o.number for o in t.form.orbits], -t.count))
    schema = pa.schema(
        [
            ("group", pa.int16()),
            ("letters", pa.string()),
            ("others", pa.list_(pa.string())),
            ("numbers", pa.list_(pa.uint8())),
            ("atoms", pa.list_(pa.uint8())),
            ("free", pa.list_(pa.list_(pa.float32()))),
            ("cell", pa.list_(pa.float32())),
            ("count", pa.int32()),
        ]
    )
    columns = {
        "group": [t.form.group for t in rows],
        "letters": [t.letters[0] for t in rows],
        "others": [list(t.letters[1:]) for t in rows],
        "numbers": [[o.number for o in t.form.orbits] for t in rows],
        "atoms": [list(t.atoms) for t in rows],
        "free": [[[round(x, 4) for x in o.free] for o in t.form.orbits] for t in rows],
        "cell": [[round(x, 4) for x in (*t.form.lengths_A, *t.form.angles_deg)] for t in rows],
        "count": [t.count for t in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(pa.table(columns, schema=schema), partial, compression="zstd", compression_level=19)
    partial.replace(path)
    return len(rows)
