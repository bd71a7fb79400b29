"""POSCAR and CONTCAR, read here since the readers at hand take the elements of a file without names for H, He, Li.

Source: the POSCAR page of the VASP manual. One or three scale factors, a negative one being the volume; selective
dynamics; Cartesian coordinates; symbols with a suffix (``Li_sv``). Velocities after the positions are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase.data import atomic_numbers

from redoxa.data.errors import StructureError
from redoxa.data.formats.found import Outcome, Reading, Remarks, crystal, element, few_atoms, number

FloatArray = npt.NDArray[np.float64]

_SUFFIX = re.compile(r"[_/].*$")
_FLAGS = re.compile(r"(\.?[TF](RUE\.|ALSE\.)?( |$)){3}", re.IGNORECASE)
_LABEL = re.compile(r"([A-Z][a-z]?)\d*[+-]?$")


def read_poscar(text: str) -> list[Outcome]:
    """The structure of a POSCAR.

    Raises:
        StructureError: why it cannot be read.
    """
    lines = [re.split(r"[!#]", line)[0].split() for line in text.splitlines()]
    if len(lines) < 8:
        raise StructureError(f"ends after {len(lines)} lines; a POSCAR has 8 and more")
    remarks = Remarks()
    lattice_A, scale = _lattice(lines[1:5])
    named = not _counts(lines[5])
    counts = _counts(lines[6] if named else lines[5])
    if not counts:
        raise StructureError("lines 6 and 7 hold no symbols and numbers of atoms")
    few_atoms(sum(counts))
    at = 7 if named else 6
    if lines[at] and lines[at][0][0] in "sS":
        at += 1
    mode = lines[at][0] if at < len(lines) and lines[at] else ""
    if mode[:1] not in tuple("dDcCkK"):
        raise StructureError(f"line {at + 1} says '{mode[:40]}', neither Direct nor Cartesian")
    rows = lines[at + 1 : at + 1 + sum(counts)]
    places = np.array([_place(row, at + 2 + i) for i, row in enumerate(rows)]).reshape(-1, 3)
    if len(places) < sum(counts):
        raise StructureError(f"holds {len(places)} positions for {sum(counts)} atoms")
    if mode[0] in "cCkK":
        places = (places * scale) @ np.linalg.inv(lattice_A)
    symbols = lines[5] if named else _unwritten(lines[0], len(counts), remarks)
    numbers = _numbers(symbols, counts, rows, remarks)
    return [Reading("", crystal(numbers, places.tolist(), lattice_A.tolist()), remarks.all)]


def _lattice(lines: Sequence[Sequence[str]]) -> tuple[FloatArray, FloatArray]:
    """Row vectors [3,3] in Angstrom, and the factors [3] that Cartesian positions take as well."""
    factors = [number(token, "the scale factor") for token in lines[0]]
    rows = [[number(token, f"a component of vector {i + 1}") for token in row[:3]] for i, row in enumerate(lines[1:])]
    if any(len(row) != 3 for row in rows):
        raise StructureError("lines 3 to 5 must hold three numbers each")
    lattice = np.array(rows)
    volume = abs(float(np.linalg.det(lattice)))
    if len(factors) == 3 and min(factors) > 0:
        scale = np.array(factors)
    elif len(factors) == 1 and factors[0] and volume > 0:
        scale = np.full(3, factors[0] if factors[0] > 0 else (-factors[0] / volume) ** (1 / 3))
    elif not volume:
        raise StructureError("the cell has no volume")
    else:
        raise StructureError(f"line 2 must hold one scale factor or three positive ones, not '{' '.join(lines[0])}'")
    return lattice * scale, scale


def _counts(tokens: Sequence[str]) -> list[int]:
    """Numbers of atoms; none where a token is no such number."""
    return [int(t) for t in tokens] if all(t.isascii() and t.isdigit() and len(t) < 12 for t in tokens) else []


def _place(row: Sequence[str], line: int) -> list[float]:
    if len(row) < 3:
        raise StructureError(f"line {line} must hold three coordinates")
    return [number(token, f"a coordinate in line {line}") for token in row[:3]]


def _label(row: Sequence[str]) -> str:
    """The symbol behind the coordinates (and the three flags of selective dynamics); empty where there is none."""
    behind = row[6:] if _FLAGS.fullmatch(" ".join(row[3:6])) else row[3:]
    found = _LABEL.match(behind[0]) if behind else None
    return found[1] if found and found[1] in atomic_numbers else ""


def _unwritten(comment: Sequence[str], kinds: int, remarks: Remarks) -> list[str]:
    """Symbols of a file that has no line of them; empty where not even the comment tells."""
    if len(comment) == kinds and all(token in atomic_numbers for token in comment):
        remarks.add(f"the elements ({' '.join(comment)}) were read from the comment in the first line")
        return list(comment)
    return []


def _numbers(
    symbols: Sequence[str], counts: Sequence[int], rows: Sequence[Sequence[str]], remarks: Remarks
) -> list[int]:
    """Atomic numbers of all atoms, by the line of symbols and by those behind the coordinates, which must agree."""
    labels = [_label(row) for row in rows]
    if not symbols:
        if not all(labels):
            raise StructureError(
                "the file names no elements (VASP 4 style); put a line of their symbols before the numbers of atoms"
            )
        remarks.add("the elements were read from the symbols behind the coordinates")
        return [element(label, f"atom {i + 1}", remarks) for i, label in enumerate(labels)]
    if len(symbols) != len(counts):
        raise StructureError(f"names {len(symbols)} elements, but {len(counts)} numbers of atoms")
    kinds = [element(_SUFFIX.sub("", symbol), "line 6", remarks) for symbol in symbols]
    numbers = [z for z, count in zip(kinds, counts, strict=True) for _ in range(count)]
    for i, (z, label) in enumerate(zip(numbers, labels, strict=True)):
        if label and element(label, f"atom {i + 1}", remarks) != z:
            raise StructureError(f"atom {i + 1} is called {label} behind its coordinates, another element than above")
    return numbers
