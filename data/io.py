"""Reading and writing structure files. Only formats that are plain data; nothing is unpickled or executed."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import StructureError
from data.records import Crystal
from data.structures import from_atoms, from_structure, to_atoms, to_structure

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_ATOMS = 200
MAX_BYTES = 20_000_000
READABLE = "CIF (.cif), POSCAR/CONTCAR (.vasp, .poscar), extended XYZ (.xyz, .extxyz), pymatgen JSON (.json)"


def read_crystals(path: Path) -> list[tuple[str, Crystal]]:
    """Read every crystal of a file as (name, crystal); the name is the path, with ``#i`` where the file holds several.

    Raises:
        StructureError: what is wrong with the file, and what to do.
    """
    text = _read_text(path)
    suffix = path.suffix.lower()
    if suffix in {".xyz", ".extxyz"}:
        crystals = _read_extxyz(path, text)
    else:
        try:
            crystals = [from_structure(_read_structure(path, text, suffix))]
        except StructureError as error:
            raise StructureError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    for crystal in crystals:
        _check(path, crystal)
    if len(crystals) == 1:
        return [(str(path), crystals[0])]
    return [(f"{path}#{i}", crystal) for i, crystal in enumerate(crystals)]


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StructureError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB; split it")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StructureError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise StructureError(f"{path}: is a folder; name the files in it") from None
    except UnicodeDecodeError:
        raise StructureError(f"{path}: is not a text file. Readable: {READABLE}") from None
    except OSError as error:
        raise StructureError(f"{path}: cannot be read ({error.strerror})") from None
    if not text.strip():
        raise StructureError(f"{path}: the file is empty")
    return text


def _read_structure(path: Path, text: str, suffix: str) -> Structure:
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifParser
    from pymatgen.io.vasp import Poscar

    name = path.name.upper()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix == ".cif":
                found = CifParser(io.StringIO(text), occupancy_tolerance=1.0).parse_structures(primitive=False)
                if not found:
                    raise StructureError(f"{path}: holds no structure with usable sites")
                return found[0]
            if suffix in {".vasp", ".poscar"} or name.startswith(("POSCAR", "CONTCAR")):
                return Poscar.from_str(text).structure
            if suffix == ".json":
                return Structure.from_str(text, fmt="json")
    # The parsers raise whatever their line of text provokes; every one of these means: not a structure.
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, ArithmeticError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StructureError(f"{path}: cannot be read as a structure: {reason[:200]}") from None
    raise StructureError(f"{path}: unknown kind of file. Readable: {READABLE}")


def _read_extxyz(path: Path, text: str) -> list[Crystal]:
    from ase.io import read

    try:
        frames = read(io.StringIO(text), index=":", format="extxyz")
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise StructureError(f"{path}: cannot be read as extended XYZ: {str(error)[:200]}") from None
    for i, frame in enumerate(frames):
        if not frame.pbc.all() or frame.cell.rank < 3:
            raise StructureError(f'{path}#{i}: has no periodic cell; give Lattice="..." and pbc="T T T"')
        if not len(frame):
            raise StructureError(f"{path}#{i}: holds no atoms")
    return [from_atoms(frame) for frame in frames]


def _check(path: Path, crystal: Crystal) -> None:
    """Refuse what cannot be a crystal."""
    numbers = [x for row in (*crystal.lattice_A, *crystal.frac_coords) for x in row]
    if not all(math.isfinite(x) for x in numbers):
        raise StructureError(f"{path}: holds numbers that are not finite")
    if crystal.n_atoms > MAX_ATOMS:
        raise StructureError(
            f"{path}: {crystal.n_atoms} atoms; at most {MAX_ATOMS} can be screened. Give the primitive cell."
        )
    if crystal.volume_A3 < 1.0:
        raise StructureError(f"{path}: the cell has no volume ({crystal.volume_A3:.3g} A^3)")


def cif_text(crystal: Crystal, symprec: float | None = 0.01) -> str:
    """CIF of a crystal, with its space group where spglib finds one at this tolerance (Angstrom)."""
    from pymatgen.io.cif import CifWriter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(CifWriter(to_structure(crystal), symprec=symprec))
        except (TypeError, ValueError):  # spglib finds no symmetry in a badly strained cell
            return str(CifWriter(to_structure(crystal)))


def write_extxyz(path: Path, crystals: Sequence[Crystal], labels: Sequence[str]) -> None:
    """Write crystals to one extended XYZ file, in order, with a label each."""
    from ase.io import write

    frames = []
    for crystal, label in zip(crystals, labels, strict=True):
        atoms = to_atoms(crystal)
        atoms.info["label"] = label
        frames.append(atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, frames, format="extxyz")


def write_cif_zip(path: Path, named: Iterable[tuple[str, Crystal]]) -> None:
    """Write one CIF a crystal into a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, crystal in named:
            archive.writestr(f"{name}.cif", cif_text(crystal))
