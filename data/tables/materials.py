"""Formulas and what is known of their crystals: the one tensor file that a model of several modalities learns from.

Most of it is missing for most formulas. Of several crystals of a formula, each value is that of the crystal of lowest
formation energy that has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from redoxa.data.errors import InputError
from redoxa.data.tables.crystals import atomic_numbers, cell_of, read_table
from redoxa.data.tables.datasets import LABELS, SPLIT_SEED
from redoxa.data.tables.formulas import (
    Content,
    FormulaData,
    contents_of,
    formula_data,
    read_arrays,
    write_arrays,
)
from redoxa.data.tables.lattice_system import SYSTEMS, lattice_systems

if TYPE_CHECKING:
    import pandas as pd

ENERGY, GAP, VOLUME, LATTICE, VOLTAGE = NAMES = (
    "formation_energy_eV_per_atom",
    "band_gap_eV",
    "volume_A3_per_atom",
    "lattice_system",
    "voltage_Li_V",
)
"""What may be known. The gap is that of the source's functional, the voltage the average one against lithium metal."""

_COLUMNS = {
    ENERGY: (ENERGY, LABELS[ENERGY]),
    GAP: (GAP, "band_gap"),
    VOLTAGE: (VOLTAGE, LABELS[VOLTAGE]),
}

NO_GAP_BELOW_eV = 1e-3

BINS = {ENERGY: 10, GAP: 6, VOLUME: 10, VOLTAGE: 10}
"""Of numbers; that of the gap counts metals as one."""


@dataclass(frozen=True)
class Modality:
    """What is known of a material, in bins.

    Attributes:
        name: of `NAMES`, with its unit.
        edges: between bins of a number, ascending, in that unit; a value on an edge belongs to the bin above it.
        kinds: of what is no number, instead.
    """

    name: str
    edges: tuple[float, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        """How many."""
        return len(self.kinds) or len(self.edges) + 1

    def bins_of(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Bin of each value [n], or place of the kind; -1 where it is not a number."""
        known = np.isfinite(values)
        found = np.where(known, values, 0)
        bins = found.astype(np.int64) if self.kinds else np.searchsorted(self.edges, found, side="right")
        return np.asarray(np.where(known, bins, -1), np.int64)

    def between(self, low: float, high: float) -> frozenset[int]:
        """Bins between two values: those whose middle lies there; the first and the last where there is no end to it.

        Raises:
            InputError: there is none; says which edges there are.
        """
        inner = [(below + above) / 2 for below, above in zip(self.edges[:-1], self.edges[1:], strict=True)]
        found = frozenset(i for i, middle in enumerate([-math.inf, *inner, math.inf]) if low <= middle <= high)
        if not found:
            edges = ", ".join(f"{edge:.3g}" for edge in self.edges)
            raise InputError(f"{self.name}: no bin lies from {low:g} to {high:g}; the edges are {edges or 'none'}")
        return found

    def kind(self, name: str) -> frozenset[int]:
        """The bin of a kind.

        Raises:
            InputError: no such kind.
        """
        if name not in self.kinds:
            raise InputError(f"{self.name}: {name} is none of {', '.join(self.kinds) or 'its kinds, it is a number'}")
        return frozenset({self.kinds.index(name)})


@dataclass(frozen=True)
class MaterialData:
    """Different formulas, and what is known of each.

    Attributes:
        formulas: and which are held out.
        values: by `NAMES`, NaN where missing, places in `SYSTEMS` for the lattice, float64 [B,5].
    """

    formulas: FormulaData
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.formulas)

    @property
    def split(self) -> str:
        """The split in a sentence, and what is known."""
        known = np.isfinite(self.values).sum(0).tolist()
        return f"{self.formulas.split}; known: " + ", ".join(f"{n} {x}" for x, n in zip(NAMES, known, strict=True))


def modalities_of(values: npt.NDArray[np.float64]) -> tuple[Modality, ...]:
    """Bins by quantiles of the values that are learned from [n,5]; what is always missing or the same is left out."""
    found = []
    for name, column in zip(NAMES, values.T, strict=True):
        known = column[np.isfinite(column)]
        if name == LATTICE:
            one = Modality(name, kinds=SYSTEMS)
        elif name == GAP:
            one = Modality(name, _edges(known[known > NO_GAP_BELOW_eV], BINS[name] - 1, NO_GAP_BELOW_eV))
        else:
            one = Modality(name, _edges(known, BINS[name]))
        if len(np.unique(one.bins_of(known))) > 1:
            found.append(one)
    return tuple(found)


def _edges(values: npt.NDArray[np.float64], bins: int, *first: float) -> tuple[float, ...]:
    """Edges of so many bins with equally many values each, after a first one."""
    inner = np.quantile(values, np.arange(1, bins) / bins).tolist() if len(values) else []
    return tuple(sorted({*first, *(round(edge, 6) for edge in inner)}))


def load_materials(path: Path) -> MaterialData:
    """Read a file that `prepare_materials` wrote.

    Raises:
        InputError: the file is missing or is not such a file.
    """
    data, rest = read_arrays(path, ("values",))
    return MaterialData(data, rest["values"])


def prepare_materials(
    sources: Sequence[Path], out: Path, seed: int = SPLIT_SEED, on_note: Callable[[str], None] = lambda _: None
) -> MaterialData:
    """Turn tables into the tensor file, and return its content; formulas are chosen and split as by `prepare_formulas`.

    Args:
        sources: tables with a column `atomic_numbers` or `formula`, and any of those that say what is known:
            formation energy, band gap, voltage against lithium, and the cell, of which volume and lattice are made.
        out: file to write (safetensors).
        seed: of the split.
        on_note: called with what was left out, in sentences.

    Raises:
        InputError: a source cannot be read or names no formulas, or nothing is left.
    """
    known = known_of(sources, on_note)
    data = formula_data(known, sources, seed)
    values = np.stack([known[tuple(sorted(content.items()))] for content in data])
    write_arrays(out, data, sources, seed, {"values": values})
    prepared = MaterialData(data, values)
    on_note(prepared.split)
    return prepared


def known_of(
    sources: Sequence[Path], on_note: Callable[[str], None] = lambda _: None
) -> dict[Content, npt.NDArray[np.float64]]:
    """What the tables know of each formula, by `NAMES` [5]; errors as of `prepare_materials`."""
    import pandas as pd

    parts = []
    for source in sources:
        frame = read_table(source)
        contents = pd.Series(contents_of(source, frame, on_note), dtype=object)
        part = pd.DataFrame(_values(source, frame), columns=list(NAMES)).assign(content=contents)
        parts.append(part[part["content"].notna()])
    whole = pd.concat(parts, ignore_index=True).sort_values(ENERGY, kind="stable")
    lowest = whole.groupby("content", sort=False).first()  # of each column, the first value that is there
    return dict(zip(lowest.index.tolist(), lowest[list(NAMES)].to_numpy(np.float64), strict=True))


def _values(source: Path, frame: pd.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """What each row of a table knows [n]."""
    import pandas as pd

    found = {}
    for name, names in _COLUMNS.items():
        column = next((frame[column] for column in names if column in frame), None)
        try:
            found[name] = np.full(len(frame), np.nan) if column is None else pd.to_numeric(column).to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{source}: {name} is no number ({error})") from error
    return found | _of_cells(frame)


def _of_cells(frame: pd.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """Volume and lattice system of each row [n], not a number where there is no good cell."""
    volumes, lattices = np.full((2, len(frame)), np.nan)
    if {"cell", "atomic_numbers"} <= set(frame):
        cells: list[npt.NDArray[np.float64]] = []
        rows: list[int] = []
        for i, (cell, numbers) in enumerate(zip(frame["cell"], frame["atomic_numbers"], strict=True)):
            try:
                cells.append(cell_of(cell))
                volumes[i] = abs(np.linalg.det(cells[-1])) / len(atomic_numbers(numbers))
            except ValueError:  # a broken cell says nothing; a formula needs none
                del cells[len(rows) :]
                continue
            rows.append(i)
        if cells:
            systems = lattice_systems(np.stack(cells))
            lattices[rows] = np.where(systems < 0, np.nan, systems)
    return {VOLUME: volumes, LATTICE: lattices}
