"""The library of templates: symmetric crystals as our own potential relaxes them, and how often each skeleton occurs.

A *skeleton* is a space group with its occupied Wyckoff orbits and which of them bear the same element; a template is a
skeleton with elements, free coordinates and cell. `screening.skeleton_library` computes the table that ships; it
holds no source ids and no source coordinates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from data.errors import InputError
from data.symmetric import ANGLES, LENGTHS, Orbit, SymmetricCrystal, crystal_system
from data.wyckoff import centring, space_group

SHIPPED = "templates.parquet"
"""The table in `data/assets` that ships with the project."""

Skeleton = tuple[int, tuple[tuple[str, int], ...]]
"""Space group, and (letter, number of the species) of each orbit; species count up in order of appearance."""


@dataclass(frozen=True)
class Template:
    """A relaxed crystal as a template.

    Attributes:
        form: canonical symmetric form.
        atoms: atoms of each orbit in the primitive cell.
        count: source crystals that relax to it.
    """

    form: SymmetricCrystal
    atoms: tuple[int, ...]
    count: int = 1

    @cached_property
    def composition(self) -> dict[int, int]:
        """Atoms by atomic number in the primitive cell."""
        found: Counter[int] = Counter()
        for orbit, atoms in zip(self.form.orbits, self.atoms, strict=True):
            found[orbit.number] += atoms
        return dict(found)

    @cached_property
    def volume_A3(self) -> float:
        """Volume of the primitive cell."""
        return float(np.linalg.det(self.form.conventional_lattice_A)) / centring(self.form.group)

    @cached_property
    def skeleton(self) -> Skeleton:
        """What is left without elements and numbers."""
        species: dict[int, int] = {}
        return self.form.group, tuple((o.letter, species.setdefault(o.number, len(species))) for o in self.form.orbits)


def template_of(form: SymmetricCrystal, count: int = 1) -> Template:
    """A template of a canonical form."""
    group = space_group(form.group)
    atoms = tuple(group.position(o.letter).multiplicity // centring(form.group) for o in form.orbits)
    return Template(form, atoms, count)


def load_templates(path: Path | None = None) -> list[Template]:
    """Read a table of templates, by default the one that ships.

    Raises:
        InputError: the table is missing or is none of ours.
    """
    if path is not None:
        return _read(path)
    with as_file(files("data") / "assets" / SHIPPED) as shipped:
        return _read(shipped)


def _read(path: Path) -> list[Template]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ("group", "letters", "numbers", "atoms", "free", "cell", "count")
    try:
        table = pq.ParquetFile(path).read(columns=list(columns))
        rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table of templates ({error})") from error
    return [Template(_form(group, letters, numbers, free, cell), tuple(atoms), count)
            for group, letters, numbers, atoms, free, cell, count in rows]  # fmt: skip


def _form(group: int, letters: str, numbers: list[int], free: list[list[float]], cell: list[float]) -> SymmetricCrystal:
    system = crystal_system(group)
    lengths = len(set(LENGTHS[system]))
    if len(cell) != lengths + len(ANGLES.get(system, ())) or not len(letters) == len(numbers) == len(free):
        raise InputError(f"a template of space group {group} has a row of the wrong length")
    orbits = tuple(Orbit(a, z, tuple(u)) for a, z, u in zip(letters, numbers, free, strict=True))
    return SymmetricCrystal(group, orbits, tuple(cell[:lengths]), tuple(cell[lengths:]))


def write_templates(path: Path, templates: Iterable[Template]) -> int:
    """Write a table (parquet, zstd) in place of any old one, atomically; return its number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(templates, key=lambda t: (t.form.group, t.skeleton, [o.number for o in t.form.orbits], -t.count))
    schema = pa.schema(
        [
            ("group", pa.int16()),
            ("letters", pa.string()),
            ("numbers", pa.list_(pa.uint8())),
            ("atoms", pa.list_(pa.uint8())),
            ("free", pa.list_(pa.list_(pa.float32()))),
            ("cell", pa.list_(pa.float32())),
            ("count", pa.int32()),
        ]
    )
    columns = {
        "group": [t.form.group for t in rows],
        "letters": ["".join(o.letter for o in t.form.orbits) for t in rows],
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
