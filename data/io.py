"""Reading and writing structure files. Only formats that are plain data; nothing is unpickled or executed.

How each format is read, and what is refused: `data/formats/`.
"""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.formats.found import Outcome, Reading
from redoxa.data.records import Crystal
from redoxa.data.structures import to_atoms, to_structure

MAX_BYTES = 20_000_000
READABLE = "CIF (.cif), POSCAR/CONTCAR (.vasp, .poscar), extended XYZ (.xyz, .extxyz), JSON (.json)"

SUFFIXES: Final = (".cif", ".vasp", ".poscar", ".xyz", ".extxyz", ".json")
NAMES: Final = ("POSCAR", "CONTCAR")


def may_hold_structures(path: Path) -> bool:
    """Whether a file is called like one that can be read."""
    return path.suffix.lower() in SUFFIXES or path.name.upper().startswith(NAMES)


def read_crystals(path: Path, trust_sites: bool = False) -> list[Reading]:
    """Read every crystal of a file.

    Args:
        path: of the file.
        trust_sites: as in `data.formats.cif.read_cif`.

    Raises:
        StructureError: what is wrong with the file or one of its structures, and what to do.
    """
    found = []
    for _, outcome in read_each(path, trust_sites):
        if isinstance(outcome, StructureError):
            raise outcome
        found.append(outcome)
    return found


def read_each(path: Path, trust_sites: bool = False) -> list[tuple[str, Outcome]]:
    """The same by name, the error in the place of each crystal that cannot be used; one for an unreadable file."""
    try:
        with np.errstate(all="ignore"):  # numbers that overflow end in a refusal
            outcomes = _read_text_of(path, _text(path), trust_sites)
    except StructureError as error:
        outcomes = [error]
    names = [f"{path}#{i + 1}" for i in range(len(outcomes))] if len(outcomes) > 1 else [str(path)]
    return [(name, _named(name, outcome)) for name, outcome in zip(names, outcomes, strict=True)]


def _named(name: str, outcome: Outcome) -> Outcome:
    return StructureError(f"{name}: {outcome}") if isinstance(outcome, StructureError) else outcome._replace(name=name)


def _read_text_of(path: Path, text: str, trust_sites: bool) -> list[Outcome]:
    from redoxa.data.formats.cif import read_cif
    from redoxa.data.formats.extxyz import read_extxyz
    from redoxa.data.formats.json_forms import read_json
    from redoxa.data.formats.poscar import read_poscar

    suffix = path.suffix.lower()
    if suffix == ".cif":
        return read_cif(text, trust_sites)
    if suffix in {".xyz", ".extxyz"}:
        return read_extxyz(text)
    if suffix == ".json":
        return read_json(text)
    if suffix in {".vasp", ".poscar"} or path.name.upper().startswith(NAMES):
        return read_poscar(text)
    raise StructureError(f"unknown kind of file. Readable: {READABLE}")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StructureError(f"larger than {MAX_BYTES // 1_000_000} MB; split it")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise StructureError("no such file") from None
    except IsADirectoryError:
        raise StructureError("is a folder; name the files in it") from None
    except OSError as error:
        raise StructureError(f"cannot be read ({error.strerror})") from None
    text = _decoded(raw)
    if not text.strip():
        raise StructureError("the file is empty")
    return text


def _decoded(raw: bytes) -> str:
    """UTF-8 or, with a mark, UTF-16; else Latin-1, in which names of authors of old files are written."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in set(raw)):
        raise StructureError(f"is not a text file. Readable: {READABLE}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if not any(character.isascii() and character.isalnum() for character in text):
        raise StructureError(f"is not a text file. Readable: {READABLE}")
    return text


def cif_text(crystal: Crystal, symprec: float | None = 0.01, comment: str = "") -> str:
    """CIF of a crystal, with its space group where spglib finds one at this tolerance (Angstrom).

    Args:
        crystal: to write.
        symprec: in Angstrom; None writes all atoms.
        comment: lines that stand above it.
    """
    from pymatgen.io.cif import CifWriter

    head = "".join(f"# {line}\n" for line in comment.splitlines())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return head + str(CifWriter(to_structure(crystal), symprec=symprec))
        except (TypeError, ValueError):  # spglib finds no symmetry in a badly strained cell
            return head + str(CifWriter(to_structure(crystal)))


def write_extxyz(
    path: Path, crystals: Sequence[Crystal], labels: Sequence[str], infos: Sequence[Mapping[str, object]] = ()
) -> None:
    """Write crystals to one extended XYZ file, in order, with a label each, and further values where given."""
    from ase.io import write

    frames = []
    for crystal, label, info in zip(crystals, labels, infos or [{}] * len(crystals), strict=True):
        atoms = to_atoms(crystal)
        atoms.info = {"label": label, **info}
        frames.append(atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, frames, format="extxyz")
