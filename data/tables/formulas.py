"""Formulas for training, out of tables that need no positions: the one tensor file that models of formulas read.

Light on purpose, as `data.tables.datasets` is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from redoxa.data.errors import InputError
from redoxa.data.tables.crystals import atomic_numbers, read_table
from redoxa.data.tables.datasets import HELD_OUT, LABELS, SPLIT_SEED, FARTHEST_eV_PER_ATOM, split_by_formula

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 20
"""Atoms of the largest cell that is learned from."""

Content = tuple[tuple[int, int], ...]
"""A reduced formula: (atomic number, count), by atomic number."""


@dataclass(frozen=True)
class FormulaData:
    """Different reduced formulas in flat arrays, the form of the prepared file.

    Attributes:
        numbers: atomic number of each element of each formula, int64 [N].
        counts: atoms of it in the reduced formula, int64 [N].
        start: first element of each formula and the end, int64 [B+1].
        held_out: True for formulas that are never trained on, bool [B].
    """

    numbers: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.held_out)

    @property
    def split(self) -> str:
        """The split in a sentence."""
        aside = int(self.held_out.sum())
        return f"{len(self) - aside} formulas to train on; {aside or 'none'} held out to judge the training by"

    def __iter__(self) -> Iterator[dict[int, int]]:
        """Yield atomic number -> count of each formula."""
        for first, end in zip(self.start[:-1], self.start[1:], strict=True):
            yield dict(zip(self.numbers[first:end].tolist(), self.counts[first:end].tolist(), strict=True))


def load_formulas(path: Path) -> FormulaData:
    """Read a file that `prepare_formulas` wrote.

    Raises:
        InputError: the file is missing or is not a prepared file of formulas.
    """
    return read_arrays(path)[0]


def read_arrays(path: Path, more: Collection[str] = ()) -> tuple[FormulaData, dict[str, npt.NDArray[np.float64]]]:
    """Formulas, and further arrays that the file must have; errors as of `load_formulas`."""
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as a prepared file of formulas ({error})") from error
    if set(arrays) != {field.name for field in fields(FormulaData)}.union(more):
        raise InputError(f"{path}: is no prepared file of formulas; name the tables that it was made from")
    rest = {name: arrays.pop(name) for name in more}
    return FormulaData(**arrays | {"held_out": arrays["held_out"].astype(bool)}), rest


def prepare_formulas(
    sources: Sequence[Path], out: Path, seed: int = SPLIT_SEED, on_note: Callable[[str], None] = lambda _: None
) -> FormulaData:
    """Turn tables into the tensor file that models of formulas learn from, and return its content.

    Each formula counts once, however many crystals have it. Cells of more than `LARGEST` atoms, and crystals known to
    lie more than 0.3 eV/atom above the hull, are left out.

    Args:
        sources: tables with a column `atomic_numbers` or `formula`.
        out: file to write (safetensors).
        seed: of the split (`split_by_formula`).
        on_note: called with what was left out, in sentences.

    Raises:
        InputError: a source cannot be read or names no formulas, or nothing is left.
    """
    rows = (content for source in sources for content in contents_of(source, read_table(source), on_note))
    found = {content for content in rows if content is not None}
    data = formula_data(found, sources, seed)
    write_arrays(out, data, sources, seed)
    on_note(data.split)
    return data


def formula_data(found: Collection[Content], sources: Sequence[Path], seed: int) -> FormulaData:
    """Different formulas, sorted and split.

    Raises:
        InputError: there are none.
    """
    formulas = sorted(found)
    if not formulas:
        raise InputError(f"{sources[0]}: no formula is left; cells of at most {LARGEST} atoms are learned from")
    pairs = np.array([pair for formula in formulas for pair in formula], np.int64)
    return FormulaData(
        np.ascontiguousarray(pairs[:, 0]),
        np.ascontiguousarray(pairs[:, 1]),
        np.cumsum([0, *map(len, formulas)], dtype=np.int64),
        split_by_formula(list(map(str, formulas)), min(HELD_OUT, len(formulas) // 10), seed),
    )


def write_arrays(
    out: Path,
    data: FormulaData,
    sources: Sequence[Path],
    seed: int,
    more: Mapping[str, npt.NDArray[np.float64]] = MappingProxyType({}),
) -> None:
    """Inverse of `read_arrays`; at every moment the path holds a whole file, the old one or the new one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    names = " and ".join(source.name for source in sources)
    arrays = {**vars(data), "held_out": data.held_out.astype(np.uint8), **more}
    save_file(arrays, partial, {"seed": str(seed), "source": names})
    partial.replace(out)


def contents_of(source: Path, frame: pd.DataFrame, on_note: Callable[[str], None]) -> list[Content | None]:
    """The formula of each row of a table, None where it is left out; errors as of `prepare_formulas`."""
    import pandas as pd

    if "atomic_numbers" not in frame and "formula" not in frame:
        raise InputError(
            f"{source}: has no column atomic_numbers or formula; it has {', '.join(map(str, frame)) or 'none'}"
        )
    by_cell = "atomic_numbers" in frame
    hull = frame.get("hull_distance_eV_per_atom", frame.get(LABELS["hull_distance_eV_per_atom"]))
    far = np.zeros(len(frame), bool) if hull is None else pd.to_numeric(hull, errors="coerce") > FARTHEST_eV_PER_ATOM
    found, left_out = list[Content | None](), Counter[str]()
    for value, is_far in zip(frame["atomic_numbers" if by_cell else "formula"], far, strict=True):
        found.append(None)
        try:
            cell = Counter(atomic_numbers(value).tolist()) if by_cell else _of_text(value)
        except ValueError as error:
            left_out[str(error)] += 1
            continue
        if sum(cell.values()) > LARGEST:
            left_out[f"of more than {LARGEST} atoms"] += 1
        elif is_far:
            left_out[f"of more than {FARTHEST_eV_PER_ATOM:g} eV/atom above the hull"] += 1
        else:
            divisor = int(np.gcd.reduce(list(cell.values())))
            found[-1] = tuple(sorted((int(z), int(n) // divisor) for z, n in cell.items()))
    for why, count in left_out.most_common():
        on_note(f"{source}: left out {count} of {len(frame)} rows, {why}")
    return found


def _of_text(value: object) -> dict[int, int]:
    """The content that a formula names.

    Raises:
        ValueError: it is none, or has broken numbers of atoms.
    """
    from ase.data import atomic_numbers as number_of
    from pymatgen.core import Composition

    try:
        amounts = Composition(str(value)).get_el_amt_dict()
    except (ValueError, KeyError):
        amounts = {}
    if not amounts or any(n != int(n) or number_of.get(symbol, 0) < 1 for symbol, n in amounts.items()):
        raise ValueError("formula: whole numbers of atoms of elements are wanted")
    return {number_of[symbol]: int(n) for symbol, n in amounts.items()}
