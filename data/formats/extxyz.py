"""Extended XYZ: frames are cut apart by their numbers of atoms, so that one that cannot be used spoils no other."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.formats.found import Outcome, Reading, Remarks, crystal, element, few_atoms, periodic

_PROPERTIES = re.compile(r"""[Pp]roperties\s*=\s*"?([^\s"]+)""")


def read_extxyz(text: str) -> list[Outcome]:
    """The frames of a file, in order."""
    return [_frame(frame) if isinstance(frame, list) else frame for frame in _frames(text.splitlines())]


def _frames(lines: Sequence[str]) -> Iterator[list[str] | StructureError]:
    """Lines of each frame; where a frame does not say how long it is, an error stands for all that follow."""
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        count = lines[at].strip()
        if not (count.isascii() and count.isdigit() and len(count) < 12):
            yield StructureError(f"line {at + 1} says '{count[:40]}', where a frame begins with its number of atoms")
            return
        if at + 2 + int(count) > len(lines):
            yield StructureError(f"ends in line {len(lines)}; the frame of line {at + 1} is to hold {count} atoms")
            return
        yield list(lines[at : at + 2 + int(count)])
        at += 2 + int(count)


def _frame(lines: list[str]) -> Outcome:
    """One frame, its symbols freed of charges first, which ASE does not know."""
    from ase.io import read

    remarks = Remarks()
    try:
        few_atoms(len(lines) - 2)
        column = _species_column(lines[1])
        body = [_plain(line, column, i + 1, remarks) for i, line in enumerate(lines[2:])]
        frame = read(io.StringIO("\n".join([*lines[:2], *body, ""])), index=0, format="extxyz")
        if "Lattice" not in lines[1] or frame.cell.rank < 3:
            raise StructureError('has no periodic cell; give Lattice="..." and pbc="T T T"')
        periodic(frame.pbc.tolist())
        places = frame.get_scaled_positions(wrap=False).tolist()
        return Reading("", crystal(frame.numbers.tolist(), places, frame.cell.tolist()), remarks.all)
    except StructureError as error:
        return error
    except np.linalg.LinAlgError:
        return StructureError("the cell has no volume")
    # ASE raises whatever a line provokes; every one of these means: not a frame.
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        return StructureError(f"cannot be read as extended XYZ: {reason}")


def _species_column(comment: str) -> int | None:
    """Column in which the symbols stand; None where there are atomic numbers instead."""
    found = _PROPERTIES.search(comment)
    if found is None:
        return 0
    parts = found[1].split(":")
    column = 0
    for name, width in zip(parts[::3], parts[2::3], strict=False):
        if name.lower() == "species":
            return column
        column += int(width)
    return None


def _plain(line: str, column: int | None, atom: int, remarks: Remarks) -> str:
    from ase.data import chemical_symbols

    tokens = line.split()
    if column is None or column >= len(tokens) or tokens[column].isdigit():
        return line
    tokens[column] = chemical_symbols[element(tokens[column], f"atom {atom}", remarks)]
    return " ".join(tokens)
