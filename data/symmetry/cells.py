"""Unit cells for training: what fills a cell and its shape, reduced and, where positions are known, conventional.

Tables without positions do for the reduced cell. The prepared file is one tensor file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from redoxa.data.errors import InputError, StructureError
from redoxa.data.progress import OnStep
from redoxa.data.tables.crystals import (
    HEAVIEST,
    LEAST_A3,
    atomic_numbers,
    cell_of,
    one_name_each,
    read_crystal_table,
    read_table,
)
from redoxa.data.tables.datasets import SPLIT_SEED, reduce_cell, split_by_formula, split_text
from redoxa.data.tables.formulas import Content, contents_of, formula_data

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SYMPREC_A = 0.01
"""How far atoms may lie from their symmetric places."""


@dataclass(frozen=True)
class CellData:
    """B cells, the form of the prepared file.

    Attributes:
        content: atoms by atomic number, int64 [B,104].
        volumes_A3: of all these atoms together, float64 [B].
        groups: space group, 0 where positions are not known, int64 [B].
        reduced: shape (`shape_of`) of the reduced cell, float64 [B,5].
        conventional: that of the conventional cell of the group, NaN where it is not known, float64 [B,5].
        held_out: True for cells that are never trained on, bool [B].
    """

    content: Integers
    volumes_A3: Floats
    groups: Integers
    reduced: Floats
    conventional: Floats
    held_out: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def split(self) -> str:
        """The split in a sentence."""
        return split_text(self.held_out)


@dataclass(frozen=True)
class _Row:
    content: Content
    numbers: Integers
    cell: Floats
    coords: Floats | None
    formula: object


def shape_of(cell: Floats) -> Floats:
    """log(b/a), log(c/a) and the cosines of alpha, beta and gamma [5] of row vectors [3,3]."""
    lengths = np.linalg.norm(cell, axis=1)
    unit = cell / lengths[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    return np.array([*np.log(lengths[1:] / lengths[0]), *cosines])


def load_cells(path: Path) -> CellData:
    """Read a file that `prepare_cells` wrote.

    Raises:
        InputError: the file is missing or is none of these.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as a prepared file of cells ({error})") from error
    if set(arrays) != {field.name for field in fields(CellData)}:
        raise InputError(f"{path}: is no prepared file of cells; name the tables that it was made from")
    return CellData(**arrays | {"held_out": arrays["held_out"].astype(bool)})


def prepare_cells(
    sources: Sequence[Path],
    out: Path,
    seed: int = SPLIT_SEED,
    on_note: Callable[[str], None] = lambda _: None,
    on_step: OnStep | None = None,
) -> CellData:
    """Turn tables into the tensor file that the flow of cells learns from, and return its content.

    Left out is what `data.tables.formulas.prepare_formulas` leaves out. Held out is what that holds out of the same
    tables, and what `data.tables.datasets.prepare` does of those with positions: no formula is on both sides.

    Args:
        sources: tables with columns `atomic_numbers` and `cell`, and `frac_coords` where they have positions.
        out: file to write (safetensors).
        seed: of the split.
        on_note: called with what was left out, in sentences.
        on_step: called with how many symmetric forms were looked for, and of how many.

    Raises:
        InputError: a source cannot be read or lacks a column, or nothing is left.
    """
    rows = [row for source in sources for row in _rows(source, on_note)]
    held_out = _held_out(rows, sources, seed)
    reduced, groups, conventional = [], [], []
    for i, row in enumerate(rows):
        reduced.append(shape_of(reduce_cell(row.cell, np.zeros((0, 3)))[0]))
        group, shape = _conventional(row)
        groups.append(group)
        conventional.append(shape)
        if on_step is not None:
            on_step(i + 1, len(rows))
    content = np.stack([np.bincount(row.numbers, minlength=HEAVIEST + 1) for row in rows])
    volumes_A3 = np.abs(np.linalg.det(np.stack([row.cell for row in rows])))
    found = CellData(content, volumes_A3, np.array(groups), np.stack(reduced), np.stack(conventional), held_out)
    _write(found, out)
    on_note(found.split)
    return found


def _rows(source: Path, on_note: Callable[[str], None]) -> list[_Row]:
    """What can be used of a table."""
    frame = read_table(source)
    if missing := [name for name in ("atomic_numbers", "cell") if name not in frame]:
        raise InputError(f"{source}: lacks the columns {' and '.join(missing)}; cells are learned from them")
    if placed := "frac_coords" in frame:
        table = read_crystal_table(source)
        frame, notes = table.frame, table.notes
        for text in notes:
            on_note(f"{source}: {text}")
    empty = [None] * len(frame)
    columns = (frame["atomic_numbers"], frame["cell"], frame["frac_coords"] if placed else empty)
    known, rows = contents_of(source, frame, on_note), list[_Row]()
    for content, row in zip(known, zip(*columns, frame.get("formula", empty), strict=True), strict=True):
        if content is not None and (made := _row(content, *row)) is not None:
            rows.append(made)
    if lost := sum(content is not None for content in known) - len(rows):
        on_note(f"{source}: left out {lost} of {len(frame)} rows, whose cells are none")
    return rows


def _row(content: Content, numbers: object, cell: object, coords: Floats | None, formula: object) -> _Row | None:
    """A row of a table, None where its cell is none."""
    z = atomic_numbers(numbers)
    try:
        lattice = cell_of(cell)
    except ValueError:
        return None
    small = abs(np.linalg.det(lattice)) < LEAST_A3 * len(z)
    return None if small else _Row(content, z, lattice, coords, formula)


def _held_out(rows: Sequence[_Row], sources: Sequence[Path], seed: int) -> npt.NDArray[np.bool_]:
    """Rows whose formula other networks that learn from these tables never see."""
    formulas = sorted({row.content for row in rows})
    aside = formula_data(formulas, sources, seed).held_out
    hidden = {formula for formula, held in zip(formulas, aside, strict=True) if held}
    placed = [row for row in rows if row.coords is not None]
    if placed:
        names = one_name_each([row.numbers for row in placed], [row.formula for row in placed])
        hidden |= {row.content for row, held in zip(placed, split_by_formula(names, None, seed), strict=True) if held}
    return np.array([row.content in hidden for row in rows])


def _conventional(row: _Row) -> tuple[int, Floats]:
    """Space group and shape of the conventional cell; 0 and NaN where no symmetric form is found."""
    from redoxa.data.records import Crystal
    from redoxa.data.symmetry.symmetric import symmetric

    if row.coords is None:
        return 0, np.full(5, np.nan)
    crystal = Crystal(
        numbers=row.numbers.tolist(), frac_coords=(row.coords % 1.0).tolist(), lattice_A=row.cell.tolist()
    )
    try:
        form = symmetric(crystal, SYMPREC_A)
    except StructureError:
        return 0, np.full(5, np.nan)
    return form.group, shape_of(form.conventional_lattice_A)


def _write(found: CellData, out: Path) -> None:
    arrays = {name: np.ascontiguousarray(value) for name, value in vars(found).items()}
    arrays["held_out"] = found.held_out.astype(np.uint8)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    save_file(arrays, partial)
    partial.replace(out)
