"""Crystal data for training: where it lies, how it is split, and the one tensor file that training reads.

Light on purpose: numpy, pandas (pyarrow) and safetensors, so that a training machine needs nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from redoxa.data.errors import InputError
from redoxa.data.tables.crystals import one_name_each, read_crystal_table

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

SPLIT_SEED = 20261121
"""Seed of the published split; another seed makes another validation set."""

HELD_OUT = 500
"""Rows that are never trained on, where there are ten times as many."""

LABELS = {
    "formation_energy_eV_per_atom": "formation_energy_per_atom",
    "hull_distance_eV_per_atom": "energy_above_hull",
    "voltage_Li_V": "li_voltage_V_vs_Li",
    "voltage_Na_V": "na_voltage_V_vs_Na",
}
"""What may be known of a crystal in a prepared file, and another name of its column in a source: DFT energies, and
average voltages by a potential of others (`li_electrodes.parquet`), of the lithium in a host and of sodium instead."""

_COLUMNS = ["atomic_numbers", "frac_coords", "cell", "n_atoms"]

FARTHEST_eV_PER_ATOM = 0.3
"""Crystals farther above the hull are numerical accidents of the source, mostly."""


def shared_dir() -> Path | None:
    """Folder with the shared crystal data, or None where there is none.

    `REDOXA_SHARED` names it; else it is the folder `shared` beside the repository.
    """
    override = os.environ.get("REDOXA_SHARED")
    folder = Path(override) if override else Path(__file__).resolve().parents[3] / "shared"
    return folder if (folder / "datasets").is_dir() else None


@dataclass(frozen=True)
class CrystalData:
    """Crystals in flat arrays, the form of the prepared file.

    Attributes:
        numbers: atomic numbers, int64 [N].
        frac_coords: float32 [N,3] in [0,1).
        cells: reduced cells, row vectors in Angstrom, float32 [B,3,3].
        start: first atom of each crystal and the end, int64 [B+1].
        held_out: True for crystals that are never trained on, bool [B].
        labels: what is known of each, by the order of `LABELS`, NaN where it is not, float32 [B,4].
    """

    numbers: npt.NDArray[np.int64]
    frac_coords: npt.NDArray[np.float32]
    cells: npt.NDArray[np.float32]
    start: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Atoms of each crystal, int64 [B]."""
        return np.diff(self.start)

    def subset(self, chosen: npt.NDArray[np.bool_]) -> CrystalData:
        """The crystals where `chosen` [B] is True, in order."""
        atoms = np.repeat(chosen, self.counts)
        return CrystalData(
            self.numbers[atoms],
            self.frac_coords[atoms],
            self.cells[chosen],
            np.concatenate([[0], np.cumsum(self.counts[chosen])]).astype(np.int64),
            self.held_out[chosen],
            self.labels[chosen],
        )

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Yield (numbers [n], frac_coords [n,3], cell [3,3]) of each crystal."""
        for i, cell in enumerate(self.cells):
            atoms = slice(self.start[i], self.start[i + 1])
            yield self.numbers[atoms], self.frac_coords[atoms], cell


def load(path: Path) -> CrystalData:
    """Read a file that `prepare` wrote.

    Raises:
        InputError: the file is missing or is not a prepared file.
    """
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as a prepared data file ({error}); make one with `prepare`"
        ) from error
    missing = {field.name for field in fields(CrystalData)} - set(arrays)
    if missing:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; make it with `prepare`")
    return CrystalData(**arrays | {"held_out": arrays["held_out"].astype(bool)})


def prepare(
    source: Path,
    out: Path,
    max_atoms: int = 20,
    holdout: int | None = None,
    seed: int = SPLIT_SEED,
    hosts: Path | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> CrystalData:
    """Turn a table of crystals into the tensor file that training reads, and return its content.

    Cells are reduced to their shortest vectors, so that one lattice has one shape. Crystals more than 0.3 eV/atom above
    the hull are left out. The split is by formula.

    Args:
        source: table (`data.tables.crystals`) with any of the columns of `LABELS`.
        out: file to write (safetensors).
        max_atoms: larger crystals are left out.
        holdout: number of crystals held out; by default see `split_by_formula`.
        seed: seed of the split.
        hosts: another such file, of insertion hosts with voltages, whose crystals are put after the others.
        on_note: called with what was left out, and with the split, in sentences.

    Raises:
        InputError: a source cannot be read or lacks a column, or nothing of it is left.
    """
    import pandas as pd

    sources = [source] if hosts is None else [source, hosts]
    frame = pd.concat([_read(path, on_note) for path in sources], ignore_index=True)
    large, far = frame["n_atoms"] > max_atoms, frame["hull_distance_eV_per_atom"] > FARTHEST_eV_PER_ATOM
    for count, why in (
        (int(large.sum()), f"of more than {max_atoms} atoms"),
        (int((far & ~large).sum()), f"of more than {FARTHEST_eV_PER_ATOM:g} eV/atom above the hull"),
    ):
        if count:
            on_note(f"{source}: left out {count} of {len(frame)} crystals, {why}")
    frame = frame[~large & ~far]
    if frame.empty:
        raise InputError(f"{source}: no crystal is left; cells of at most {max_atoms} atoms are learned from")
    cells = np.stack(frame["cell"].to_list())
    fracs = []
    for i, coords in enumerate(frame["frac_coords"]):
        cells[i], frac = reduce_cell(cells[i], coords)
        fracs.append(frac)
    counts = frame["n_atoms"].to_numpy()
    prepared = CrystalData(
        np.concatenate(frame["atomic_numbers"].to_list()).astype(np.int64),
        (np.concatenate(fracs) % 1.0).astype(np.float32) % np.float32(1.0),
        cells.astype(np.float32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        split_by_formula(one_name_each(frame["atomic_numbers"], frame["formula"]), holdout, seed),
        frame[list(LABELS)].to_numpy(dtype=np.float32),
    )
    arrays = {name: np.ascontiguousarray(value) for name, value in vars(prepared).items()}
    arrays["held_out"] = arrays["held_out"].astype(np.uint8)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    names = " and ".join(path.name for path in sources)
    save_file(arrays, partial, metadata={"seed": str(seed), "max_atoms": str(max_atoms), "source": names})
    partial.replace(out)
    on_note(split_text(prepared.held_out))
    return prepared


def _read(source: Path, on_note: Callable[[str], None]) -> pd.DataFrame:
    """A table of crystals with a column for each label, empty where the file has none."""
    import pandas as pd

    table = read_crystal_table(source)
    for text in table.notes:
        on_note(f"{source}: {text}")
    frame = table.frame
    try:
        given = {new: pd.to_numeric(frame.get(new, frame.get(old, np.nan))) for new, old in LABELS.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: a property is no number ({error})") from error
    return frame[_COLUMNS].assign(formula=frame.get("formula"), **given)


def split_text(held_out: npt.NDArray[np.bool_]) -> str:
    """The split in a sentence."""
    trained, aside = int((~held_out).sum()), int(held_out.sum())
    if not aside:
        return f"{trained} crystals to train on; none held out, since every formula has more than a tenth of them"
    return f"{trained} crystals to train on; {aside} of other formulas held out to judge the training by"


def split_by_formula(formulas: list[str], holdout: int | None, seed: int) -> npt.NDArray[np.bool_]:
    """Choose `holdout` rows such that no formula is on both sides; True where held out, bool [len(formulas)].

    By default these are `HELD_OUT`, or a tenth (one at least) where that is less; never all there are.
    Formulas are taken in a random order fixed by the seed; one with more rows than are still wanted is passed over.
    """
    names, inverse, sizes = np.unique(np.asarray(formulas), return_inverse=True, return_counts=True)
    chosen = np.zeros(len(names), dtype=bool)
    left = min(HELD_OUT, max(1, len(formulas) // 10)) if holdout is None else holdout
    left = min(left, len(formulas) - 1)
    for index in np.random.default_rng(seed).permutation(len(names)):
        if sizes[index] <= left:
            chosen[index] = True
            left -= int(sizes[index])
        if left == 0:
            break
    return chosen[inverse]


def reduce_cell(cell: Floats, frac_coords: Floats) -> tuple[Floats, Floats]:
    """Same crystal in its shortest lattice vectors (Minkowski reduced, lengths ascending, right-handed).

    The angles come out all at most or all at least 90 degrees, as in a Niggli cell.

    Args:
        cell: row vectors in Angstrom [3,3].
        frac_coords: [n,3].

    Returns:
        The reduced cell [3,3] and the coordinates in it [n,3], in [0,1).
    """
    moves = np.array(list(product((-1, 0, 1), repeat=2)))
    basis = np.eye(3)
    for _ in range(100):
        vectors = basis @ cell
        order = np.argsort(np.round(np.linalg.norm(vectors, axis=1), 4), kind="stable")
        basis, vectors = basis[order], vectors[order]
        changed = False
        for k, (i, j) in ((2, (0, 1)), (1, (0, 2)), (0, (1, 2))):
            trials = vectors[k] + moves @ vectors[[i, j]]
            lengths = np.linalg.norm(trials, axis=1)
            best = int(np.argmin(np.round(lengths, 4)))
            if lengths[best] < np.linalg.norm(vectors[k]) - 1e-4:
                basis[k] += moves[best] @ basis[[i, j]]
                changed = True
                break
        if not changed:
            break
    basis = _same_signs(basis, cell)
    return basis @ cell, (frac_coords @ np.linalg.inv(basis)) % 1.0


def _same_signs(basis: Floats, cell: Floats) -> Floats:
    """Flip vectors so that the three dot products share a sign (where they can) and the cell is right-handed."""
    best, score = basis, -1.0
    for signs in product((1.0, -1.0), repeat=3):
        trial = basis * np.array(signs)[:, None]
        gram = (trial @ cell) @ (trial @ cell).T
        dots = np.array([gram[1, 2], gram[0, 2], gram[0, 1]])
        if np.linalg.det(trial @ cell) < 0:
            continue
        tolerance = 1e-3 * np.trace(gram)
        fit = 2.0 * (dots >= -tolerance).all() + 1.0 * (dots <= tolerance).all()
        if fit > score:
            best, score = trial, fit
    return best
