"""Tables of crystals, anyone's: parquet or CSV, lists flat or nested, with or without formulas and numbers of atoms.

`docs/concepts/generators.md` says which columns there may be. Light on purpose, as `data.tables.datasets` is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from redoxa.data.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

NEEDED: Final = ("atomic_numbers", "frac_coords", "cell")
TABLES: Final = (".parquet", ".csv")
HEAVIEST = 103
"""Largest atomic number that the networks know."""

LEAST_A3 = 1.0
"""Volume of an atom below which a cell is surely in another unit than Angstrom."""

_PLAIN = str.maketrans("[](),;\n", "       ")
_NUMPY = re.compile(r"[a-z][\w.]*\(|dtype=\w+")
"""What numpy's values look like when they are written as text: ``[np.int64(3)]``, ``array([0.5], dtype=float32)``."""


@dataclass(frozen=True)
class CrystalTable:
    """What a table holds.

    Attributes:
        frame: the usable rows: `atomic_numbers` int64 [n], `frac_coords` [n,3], `cell` [3,3], `n_atoms`, and
            all other columns as they are.
        left_out: why a row cannot be used, and how many rows that is said of.
        rows: of the file.
    """

    frame: pd.DataFrame
    left_out: Counter[str]
    rows: int

    @property
    def notes(self) -> list[str]:
        """What was left out, in sentences."""
        return [f"left out {count} of {self.rows} rows, {why}" for why, count in self.left_out.most_common()]


def read_crystal_table(source: Path) -> CrystalTable:
    """Read a table of crystals; rows that cannot be used are left out, and said.

    Raises:
        InputError: the file cannot be read, lacks a column, or has no usable row.
    """
    import pandas as pd

    frame = read_table(source)
    if missing := [name for name in NEEDED if name not in frame]:
        raise InputError(
            f"{source}: lacks the columns {', '.join(missing)}; it has {', '.join(map(str, frame)) or 'none'}. "
            "A table of crystals has atomic_numbers, frac_coords and cell (docs/concepts/generators.md)"
        )
    kept, crystals, left_out = [], [], Counter[str]()
    first = ""
    for i, values in enumerate(zip(*(frame[name] for name in NEEDED), strict=True)):
        try:
            crystals.append(_crystal(*values))
            kept.append(i)
        except (TypeError, ValueError) as error:
            first = first or f"row {i + 1}: {error}"
            left_out[str(error)] += 1
    if not kept:
        raise InputError(f"{source}: has no usable row; {first or 'it is empty'}")
    found = frame.iloc[kept].reset_index(drop=True)
    columns = {name: pd.Series([crystal[k] for crystal in crystals]) for k, name in enumerate(NEEDED)}
    found = found.assign(**columns, n_atoms=[len(numbers) for numbers, _, _ in crystals])
    return CrystalTable(found, left_out, len(frame))


def read_table(source: Path) -> pd.DataFrame:
    """Any table, as it is.

    Raises:
        InputError: the file cannot be read.
    """
    import pandas as pd

    try:
        return pd.read_csv(source) if source.suffix.lower() == ".csv" else pd.read_parquet(source)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise InputError(f"{source}: cannot be read as a table of crystals ({error})") from error


def _crystal(
    numbers: object, frac_coords: object, cell: object
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Arrays of a row.

    Raises:
        ValueError: what is wrong with it.
    """
    z, x = atomic_numbers(numbers), _flat(frac_coords, "frac_coords")
    if len(x) != 3 * len(z):
        raise ValueError("frac_coords: three numbers for each atom are wanted")
    lattice = cell_of(cell)
    if abs(np.linalg.det(lattice)) < LEAST_A3 * len(z):
        raise ValueError(f"cell: less than {LEAST_A3:g} cubic Angstrom for an atom; row vectors in Angstrom are wanted")
    if len(np.unique(np.round(x.reshape(-1, 3) % 1.0, 3) % 1.0, axis=0)) < len(z):
        raise ValueError("frac_coords: two atoms are on one place")
    return z, x.reshape(-1, 3), lattice


def cell_of(value: object) -> npt.NDArray[np.float64]:
    """Row vectors of a cell in Angstrom [3,3], out of a row of a table.

    Raises:
        ValueError: what is wrong with it.
    """
    cell = _flat(value, "cell")
    if len(cell) != 9:
        raise ValueError("cell: nine numbers are wanted, three row vectors in Angstrom")
    return cell.reshape(3, 3)


def atomic_numbers(value: object) -> npt.NDArray[np.int64]:
    """Of the atoms of a cell [n], out of a row of a table.

    Raises:
        ValueError: what is wrong with it.
    """
    z = _flat(value, "atomic_numbers")
    if not len(z) or (z != np.round(z)).any() or z.min() < 1 or z.max() > HEAVIEST:
        raise ValueError(f"atomic_numbers: whole numbers from 1 to {HEAVIEST} are wanted")
    return z.astype(np.int64)


def _flat(value: object, name: str) -> npt.NDArray[np.float64]:
    """All numbers of a list, nested or not, or of a text that shows one."""
    try:
        found = _joined(_NUMPY.sub(" ", value).translate(_PLAIN).split() if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: is no list of numbers") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: a number is missing or not finite")
    return found


def _joined(value: object) -> npt.NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype == object and array.ndim:
        return np.concatenate([_joined(part) for part in array]) if len(array) else np.zeros(0)
    return array.astype(np.float64).ravel()


def one_name_each(contents: Iterable[npt.NDArray[np.int64]], given: Iterable[object]) -> list[str]:
    """A name for each content (atomic numbers [n]), equal where the reduced contents are.

    It is the formula that was given for the first of them, else the content itself.
    """
    names: dict[bytes, str] = {}
    found = []
    for numbers, name in zip(contents, given, strict=True):
        elements, counts = np.unique(numbers, return_counts=True)
        content = np.stack([elements, counts // np.gcd.reduce(counts)])
        text = name if isinstance(name, str) else " ".join(f"{z}:{n}" for z, n in content.T.tolist())
        found.append(names.setdefault(content.tobytes(), text))
    return found
