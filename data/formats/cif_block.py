"""A block of a CIF: its values by tag, its cell, its sites, and what it says of the content of the cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import gemmi
import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from redoxa.data.errors import StructureError
from redoxa.data.formats.found import Remarks, disordered, element, few_atoms, lattice_of, number, whole
from redoxa.data.records import reduced_formula

VOLUME_TOLERANCE = 0.05
"""Relative; a stated volume further off belongs to another cell."""

FORMULA_TOLERANCE = 0.02
"""Relative difference of an element's share of the atoms: a formula may be rounded (Li0.33)."""

ONE_PLACE = 1e-3
"""Fractional coordinates that differ by less are one place."""


UNKNOWN = ("?", ".", "")


def _plain(value: str) -> str:
    """A value without its quotes."""
    return gemmi.cif.as_string(value).strip()


class Block:
    """The values of a block by tag, in lower case and with the dots of newer dictionaries as underscores.

    Raises:
        StructureError: a tag stands twice.
    """

    def __init__(self, block: gemmi.cif.Block) -> None:
        self._columns: dict[str, list[str | None]] = {}
        for item in block:
            if item.pair is not None:
                tag, value = cast(tuple[str, str], item.pair)
                self._put(tag, [value])
            elif (loop := item.loop) is not None:
                values: list[str] = loop.values
                for i, tag in enumerate(loop.tags):
                    self._put(tag, values[i :: loop.width()])

    def _put(self, tag: str, values: Sequence[str]) -> None:
        key = tag.lower().replace(".", "_")
        if key in self._columns:
            raise StructureError(f"{tag} stands twice in the block")
        self._columns[key] = [None if text in UNKNOWN else text for text in map(_plain, values)]

    def column(self, *tags: str) -> list[str | None]:
        """Values of the first of these tags that the block has; empty where it has none."""
        return next((self._columns[tag] for tag in tags if tag in self._columns), [])

    def value(self, *tags: str) -> str | None:
        """The first value that is given under one of these tags."""
        return next((v for tag in tags for v in self._columns.get(tag, [])[:1] if v is not None), None)

    @property
    def holds_structure(self) -> bool:
        """Whether it is meant as one: some blocks carry the names of authors only."""
        return any(tag.startswith(("_atom_site_", "_cell_length_")) for tag in self._columns)


@dataclass(frozen=True)
class Site:
    """A row of the table of sites; `multiplicity` as stated, None where it is not."""

    label: str
    number: int
    frac: tuple[float, float, float]
    multiplicity: int | None = None


@dataclass(frozen=True)
class Content:
    """What a block says of the atoms in its cell.

    Attributes:
        formula: atoms by element symbol, of one formula unit or of the cell.
        units: formula units in the cell.
    """

    formula: Mapping[str, float] | None
    units: float | None

    def misfit(self, composition: Mapping[str, int]) -> str:
        """How the atoms of a cell contradict the formula; empty where they do not, or where none is given."""
        if self.formula is None:
            return ""
        stated, found = (_shares(x) for x in (self.formula, composition))
        if all(
            abs(stated.get(e, 0.0) - found.get(e, 0.0))
            <= FORMULA_TOLERANCE * max(stated.get(e, 0.0), found.get(e, 0.0))
            for e in {*stated, *found}
        ):
            return ""
        text = " ".join(f"{e}{n:g}" if n != 1 else e for e, n in self.formula.items())
        return f"its formula says {text}, its sites make {reduced_formula(dict(composition))}"

    def counts(self, n_atoms: int) -> bool:
        """Whether formula and units together say that the cell holds so many atoms."""
        if self.formula is None or self.units is None:
            return False
        return abs(self.units * sum(self.formula.values()) - n_atoms) < 0.01 * n_atoms


def _shares(atoms: Mapping[str, float]) -> dict[str, float]:
    total = sum(atoms.values())
    return {e: n / total for e, n in atoms.items()}


def content_of(block: Block, remarks: Remarks) -> Content:
    """Formula and number of formula units, as far as they are given."""
    text = block.value("_chemical_formula_sum")
    units = block.value("_cell_formula_units_z")
    formula: dict[str, float] = {}
    for symbol, count in re.findall(r"([A-Z][a-z]?)\s*(\d*\.?\d*)", text or ""):
        name = "H" if symbol in {"D", "T"} else symbol
        formula[name] = formula.get(name, 0.0) + float(count if count not in {"", "."} else 1)
    readable = re.fullmatch(r"(\s*[A-Z][a-z]?\s*\d*\.?\d*)+\s*", text or "") is not None
    if text and not (readable and all(e in atomic_numbers for e in formula) and sum(formula.values()) > 0):
        remarks.add(f"the sites were not compared with the formula '{text[:60]}', which cannot be read")
        formula = {}
    return Content(formula or None, None if units is None else number(units, "the number of formula units"))


def lattice(block: Block, trusted: bool, remarks: Remarks) -> tuple[tuple[float, float, float], ...]:
    """Row vectors of the cell in Angstrom.

    Raises:
        StructureError: it is not given, cannot be, or has another volume than the file says (unless `trusted`).
    """
    lengths = [number(block.value(f"_cell_length_{x}"), f"the cell length {x}") for x in "abc"]
    angles = [number(block.value(f"_cell_angle_{x}"), f"the cell angle {x}") for x in ("alpha", "beta", "gamma")]
    rows = lattice_of(lengths, angles)
    if (text := block.value("_cell_volume")) is not None:
        stated, volume = number(text, "the cell volume"), abs(float(np.linalg.det(rows)))
        if abs(stated - volume) > VOLUME_TOLERANCE * volume:
            problem = f"its cell has {volume:.1f} A^3, its stated volume is {stated:.1f} A^3"
            if not trusted:
                raise StructureError(f"{problem}; mend the file, or read it as it stands with --trust-sites")
            remarks.add(f"read as it stands: {problem}")
    return rows


def sites_of(block: Block, remarks: Remarks) -> list[Site]:
    """The sites, each fully occupied, none twice.

    Raises:
        StructureError: which site cannot be read, and why; or the crystal is disordered.
    """
    x, y, z = (block.column(f"_atom_site_fract_{axis}") for axis in "xyz")
    if not x or not len(x) == len(y) == len(z):
        raise StructureError("gives no fractional coordinates of atoms")
    few_atoms(len(x))
    hydrogens = block.column("_atom_site_attached_hydrogens")
    if any(h not in {None, "0"} for h in hydrogens):
        raise StructureError("counts hydrogen atoms without coordinates (_atom_site_attached_hydrogens)")
    labels = _filled(block.column("_atom_site_label"), len(x))
    types = _filled(block.column("_atom_site_type_symbol"), len(x))
    occupancies = _filled(block.column("_atom_site_occupancy"), len(x))
    multiplicities = _filled(
        block.column("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity"), len(x)
    )
    rows: list[tuple[Site, float]] = []
    for i, coordinates in enumerate(zip(x, y, z, strict=True)):
        label = labels[i] or f"{i + 1}"
        a, b, c = (number(v, f"coordinate {axis} of site {label}") for axis, v in zip("xyz", coordinates, strict=True))
        occupancy = 1.0 if occupancies[i] is None else number(occupancies[i], f"the occupancy of site {label}")
        count = multiplicities[i]
        many = int(count) if count is not None and count.isdigit() and len(count) < 6 else None
        rows.append((Site(label, _atomic_number(label, types[i], remarks), (a, b, c), many), occupancy))
    return _full_sites(rows, remarks)


def _filled(values: list[str | None], count: int) -> list[str | None]:
    return values if len(values) == count else [None] * count


def _atomic_number(label: str, kind: str | None, remarks: Remarks) -> int:
    """Of a site: by its type symbol, or by a label whose letters are exactly a symbol, or can be no other.

    Raises:
        StructureError: it names no element, or several could be meant.
    """
    if kind is not None:
        return element(kind, f"site {label}", remarks)
    letters = re.match(r"[A-Za-z]+", label)
    word = letters[0] if letters else ""
    if word in atomic_numbers or word in {"D", "T"}:
        return element(word, f"site {label}", remarks)
    if len(word) == 2 and word.capitalize() in atomic_numbers and word[0].upper() not in atomic_numbers:
        remarks.add(f"site {label} was read as {word.capitalize()} by its label")
        return int(atomic_numbers[word.capitalize()])
    raise StructureError(f"site {label} names no element; give the column _atom_site_type_symbol")


def _full_sites(rows: Sequence[tuple[Site, float]], remarks: Remarks) -> list[Site]:
    """One site a place, ions of one element in several states joined."""
    groups: list[list[tuple[Site, float]]] = []
    for site, occupancy in rows:
        for group in groups:
            delta = np.array(site.frac) - group[0][0].frac
            if np.abs(delta - np.rint(delta)).max() < ONE_PLACE:
                group.append((site, occupancy))
                break
        else:
            groups.append([(site, occupancy)])
    found = []
    for group in groups:
        first, total = group[0][0], sum(occupancy for _, occupancy in group)
        names = " and ".join(site.label for site, _ in group)
        if total > 1.5:
            raise StructureError(f"sites {names} lie in one place, which holds {total:g} atoms: is one given twice?")
        if not whole(total, names, remarks) or len({site.number for site, _ in group}) > 1:
            raise disordered(_formula([site for site, _ in rows]))
        if len(group) > 1:
            remarks.add(f"sites {names} are one atom of {chemical_symbols[first.number]} in several states")
        found.append(first)
    return found


def _formula(sites: Sequence[Site]) -> str:
    return "-".join(dict.fromkeys(chemical_symbols[site.number] for site in sites))
