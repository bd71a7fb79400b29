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
    from ase import Atoms
    from pymatgen.core import Structure

MAX_ATOMS = 200
MAX_BYTES = 20_000_000
READABLE = "CIF (.cif), POSCAR/CONTCAR (.vasp, .poscar), extended XYZ (.xyz, .extxyz), pymatgen JSON (.json)"


def read_crystals(path: Path) -> list[tuple[str, Crystal]]:
    """Read every crystal of a file as (name, crystal); the name is the path, with ``#i`` where the file holds several.

    Raises:
        StructureError: what is wrong with the file, and what to do.
    """
    found: list[tuple[str, Crystal]] = []
    for name, crystal in read_each(path):
        if isinstance(crystal, StructureError):
            raise crystal
        found.append((name, crystal))
    return found


def read_each(path: Path) -> list[tuple[str, Crystal | StructureError]]:
    """The same, with the error in the place of each crystal that cannot be used; one error for an unreadable file."""
    suffix = path.suffix.lower()
    try:
        text = _read_text(path)
        if suffix not in {".xyz", ".extxyz"}:
            return [(str(path), _checked(str(path), from_structure(_read_structure(path, text, suffix))))]
        frames = _read_extxyz(path, text)
    except StructureError as error:
        return [(str(path), StructureError(f"{path}: {str(error).removeprefix(f'{path}: ')}"))]
    names = [f"{path}#{i}" for i in range(len(frames))] if len(frames) > 1 else [str(path)]
    found: list[tuple[str, Crystal | StructureError]] = []
    for name, frame in zip(names, frames, strict=True):
        try:
            found.append((name, _checked(name, _from_frame(name, frame))))
        except StructureError as error:
            found.append((name, error))
    return found


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


def _read_extxyz(path: Path, text: str) -> list[Atoms]:
    from ase.io import read

    try:
        return list(read(io.StringIO(text), index=":", format="extxyz"))
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise StructureError(f"{path}: cannot be read as extended XYZ: {str(error)[:200]}") from None


def _from_frame(name: str, frame: Atoms) -> Crystal:
    if not frame.pbc.all() or frame.cell.rank < 3:
        raise StructureError(f'{name}: has no periodic cell; give Lattice="..." and pbc="T T T"')
    if not len(frame):
        raise StructureError(f"{name}: holds no atoms")
    if not all(1 <= z <= 118 for z in frame.numbers):
        raise StructureError(f"{name}: holds a symbol that is no element")
    return from_atoms(frame)


def _checked(name: str, crystal: Crystal) -> Crystal:
    """Refuse what cannot be a crystal."""
    numbers = [x for row in (*crystal.lattice_A, *crystal.frac_coords) for x in row]
    if not all(math.isfinite(x) for x in numbers):
        raise StructureError(f"{name}: holds numbers that are not finite")
    if crystal.n_atoms > MAX_ATOMS:
        raise StructureError(
            f"{name}: {crystal.n_atoms} atoms; at most {MAX_ATOMS} can be screened. Give the primitive cell."
        )
    if crystal.volume_A3 < 1.0:
        raise StructureError(f"{name}: the cell has no volume ({crystal.volume_A3:.3g} A^3)")
    return crystal


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
