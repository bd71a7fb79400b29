"""CIF: read block by block, each whole and as meant. The syntax is gemmi's matter, which says line and column.

What a file says twice has to agree: formula and sites, cell and volume, operations and the name of their group, stated
and found multiplicities. Where it does not, the block is refused, or read as its sites stand on request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.formats.cif_block import Block, Content, Site, content_of, lattice, sites_of
from redoxa.data.formats.cif_symmetry import P1, Meant, Setting, meant_symmetry
from redoxa.data.formats.found import Outcome, Reading, Remarks, crystal, few_atoms
from redoxa.data.records import Crystal

FloatArray = npt.NDArray[np.float64]

SNAP_A = 0.3
"""Images of an atom nearer than this are the atom itself on a special position whose coordinates were rounded."""

MOVED_A = 1e-3
"""An atom that is moved further onto its special position is worth a remark."""

IMAGE_A = 0.05
"""Images of a snapped atom nearer than this are one."""

_HEADER = re.compile(r"data_", re.IGNORECASE)


def read_cif(text: str, trust_sites: bool = False) -> list[Outcome]:
    """The structures of a CIF, block by block; blocks without any are passed over.

    Args:
        text: of the file.
        trust_sites: read the sites as they stand where formula, multiplicities or volume contradict them, and say so.

    Raises:
        StructureError: no block holds a structure.
    """
    found: list[Outcome] = []
    for block in _blocks(text):
        if isinstance(block, StructureError):
            found.append(block)
        elif block.holds_structure:
            found.append(_structure(block, trust_sites))
    if not found:
        raise StructureError("holds no structure: no block has a cell and sites of atoms")
    return found


def _blocks(text: str) -> Iterator[Block | StructureError]:
    """Each block by itself, so that a mistake in one leaves the others readable."""
    for first_line, part in _parts(text):
        document = gemmi.cif.Document()
        try:
            document.parse_string(part)
            blocks = [Block(block) for block in document]
        except StructureError as error:
            yield error
        except (ValueError, RuntimeError) as error:
            yield StructureError(f"is no CIF: {_located(str(error), first_line)}")
        else:
            yield from blocks


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Pieces that begin with a block header, and the lines they begin in, from 0; comments before it are left out."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts, in_text = [0], False
    for i, line in enumerate(lines):
        if line.startswith(";"):
            in_text = not in_text
        elif i and not in_text and _HEADER.match(line.lstrip()):
            starts.append(i)
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        part = lines[start:end]
        if len(starts) == 1 or any(line.strip() and not line.lstrip().startswith("#") for line in part):
            yield start, "\n".join(part) + "\n"


def _located(message: str, first_line: int) -> str:
    """Gemmi's message, with the line of the file in the place of that of the piece."""
    found = re.match(r"string:(\d+)(?::(\d+))?(?:\(\d+\))?:?\s*(.*)", message, re.DOTALL)
    if found is None:
        return message.splitlines()[0][:200]
    column = f", column {found[2]}" if found[2] and found[2] != "0" else ""
    return f"line {int(found[1]) + first_line}{column}: {found[3].splitlines()[0][:160]}"


@dataclass(frozen=True)
class _Cell:
    """All atoms of a cell, and how many each site makes."""

    crystal: Crystal
    orbits: tuple[int, ...]


def _structure(block: Block, trust_sites: bool) -> Outcome:
    remarks = Remarks()
    try:
        if block.value("_cell_modulation_dimension") not in {None, "0"}:
            raise StructureError("is a modulated structure; give an approximant with a cell of its own")
        rows = lattice(block, trust_sites, remarks)
        sites, content = sites_of(block, remarks), content_of(block, remarks)
        meant = meant_symmetry(block, rows)
        if meant.doubt:
            cell = _decided(meant, sites, rows, content, remarks)
        else:
            cell = _expanded(meant.settings[0], sites, rows, remarks)
            if (problem := _misfit(cell, sites, content)) and not trust_sites:
                raise StructureError(f"{problem}; mend the file, or read it as it stands with --trust-sites")
            if problem:
                remarks.add(f"read as its sites stand: {problem}")
        return Reading("", cell.crystal, remarks.all)
    except StructureError as error:
        return error


def _decided(
    meant: Meant, sites: Sequence[Site], rows: Sequence[Sequence[float]], content: Content, remarks: Remarks
) -> _Cell:
    """The one reading in doubt that the content of the cell confirms.

    Raises:
        StructureError: none, or more than one.
    """
    confirmed: dict[Crystal, tuple[Setting, _Cell, Remarks]] = {}
    for setting in meant.settings:
        own = Remarks(dict(remarks.said))
        try:
            cell = _expanded(setting, sites, rows, own)
        except StructureError:
            continue
        if not _misfit(cell, sites, content) and _confirmed(setting, cell, sites, content, meant):
            confirmed.setdefault(cell.crystal, (setting, cell, own))
    if len(confirmed) != 1:
        raise StructureError(meant.doubt)
    ((setting, cell, own),) = confirmed.values()
    remarks.said.update(own.said)
    remarks.add(f"{meant.doubt}; the content of the cell fits {setting.name} only")
    return cell


def _confirmed(setting: Setting, cell: _Cell, sites: Sequence[Site], content: Content, meant: Meant) -> bool:
    """Whether something beside the symbol speaks for a setting: number of atoms, formula, multiplicities, symmetry."""
    if meant.needs_count:
        return content.counts(cell.crystal.n_atoms)
    if len(setting.rotations) == len(P1.rotations):  # every atom is listed, if the crystal has the symmetry it names
        return meant.number > 1 and spacegroup(cell.crystal, 0.01) == meant.number
    return content.formula is not None or all(site.multiplicity is not None for site in sites)


def _misfit(cell: _Cell, sites: Sequence[Site], content: Content) -> str:
    """How formula or multiplicities contradict the atoms; empty where they do not."""
    if problem := content.misfit(cell.crystal.composition):
        return problem
    for site, count in zip(sites, cell.orbits, strict=True):
        if site.multiplicity is not None and site.multiplicity != count:
            return f"site {site.label} has the multiplicity {site.multiplicity}, by its symmetry {count} in the cell"
    return ""


def _expanded(setting: Setting, sites: Sequence[Site], rows: Sequence[Sequence[float]], remarks: Remarks) -> _Cell:
    """All atoms of the cell.

    Raises:
        StructureError: too many, or two sites in one place.
    """
    matrix = np.array(rows)
    orbits = []
    for site in sites:
        orbits.append(_orbit(setting, site, matrix, remarks))
        few_atoms(sum(len(orbit) for orbit in orbits))
    places = np.concatenate(orbits)
    owners = [k for k, orbit in enumerate(orbits) for _ in orbit]
    later = np.array(owners)[:, None] < np.array(owners)
    delta = places[:, None] - places
    near = np.linalg.norm((delta - np.rint(delta)) @ matrix, axis=-1) < SNAP_A
    for i, j in np.argwhere(near & later):
        names = " and ".join(sites[owners[k]].label for k in (int(i), int(j)))
        raise StructureError(f"sites {names} lie in one place: is one given twice?")
    made = crystal([sites[k].number for k in owners], places.tolist(), matrix.tolist())
    return _Cell(made, tuple(len(orbit) for orbit in orbits))


def _orbit(setting: Setting, site: Site, matrix: FloatArray, remarks: Remarks) -> FloatArray:
    """Fractional places [n,3] of all atoms of a site, first drawn onto its special position where it is near one."""
    point = np.array(site.frac) % 1.0
    images = setting.rotations @ point + setting.translations
    delta = images - point
    delta -= np.rint(delta)
    shift = delta[np.linalg.norm(delta @ matrix, axis=1) < SNAP_A].mean(0)
    if (moved_A := float(np.linalg.norm(shift @ matrix))) > MOVED_A:
        what = f"{chemical_symbols[site.number]} site {site.label}"
        remarks.add(f"{what} was moved by {moved_A:.3f} A onto its special position (rounded coordinates)")
    images = setting.rotations @ (point + shift) + setting.translations
    delta = images[:, None] - images
    near = np.linalg.norm((delta - np.rint(delta)) @ matrix, axis=-1) < IMAGE_A
    return np.asarray(images[~np.tril(near, -1).any(axis=1)] % 1.0)
