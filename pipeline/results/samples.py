"""Crystals that a generator gave: as a table, in a folder, in a notebook."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.io import cif_text, write_extxyz
from redoxa.data.records import Crystal, flat_formula
from redoxa.data.structures import density_g_cm3, to_atoms, to_structure
from redoxa.generators.base import Predicted

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from pymatgen.core import Structure

TABLE, ALL_SAMPLES = "samples.csv", "samples.extxyz"
"""Beside the CIF files: the table of the samples, and all their crystals in one file."""

PICTURED = 12
"""Samples that a notebook shows as pictures; the table lists all."""


@dataclass(frozen=True)
class Sample:
    """One crystal of a generator.

    Attributes:
        crystal: as a record; lengths in Angstrom.
        label: where it comes from, in a word or two; may be empty.
        values: what the generator knows or foresees of it, by name with unit: ``foreseen_average_voltage_V``.
    """

    crystal: Crystal
    label: str
    values: Mapping[str, float]

    @property
    def formula(self) -> str:
        """Formula of the cell."""
        return self.crystal.formula

    @property
    def structure(self) -> Structure:
        """As a pymatgen `Structure`."""
        return to_structure(self.crystal)

    @property
    def atoms(self) -> Atoms:
        """As ASE `Atoms`, periodic in all directions."""
        return to_atoms(self.crystal)

    @property
    def space_group(self) -> int:
        """International number at 0.01 Angstrom."""
        return spacegroup(self.crystal, 0.01) or 1

    def _repr_html_(self) -> str:
        """Picture and values, for a notebook."""
        from redoxa.pipeline.pages.kit.notebook import crystal_figure

        return crystal_figure(self.crystal, self.label)


class Samples(Sequence[Sample]):
    """Crystals of one generator, in order.

    Attributes:
        generator: its name.
        seed: that gave them.
        checkpoint_sha256: of its weights; None for a generator without.
        notes: what a user should know: what was assumed, and what was left out.
    """

    def __init__(
        self,
        found: Sequence[Predicted],
        *,
        generator: str,
        seed: int,
        checkpoint_sha256: str | None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._samples = tuple(Sample(one.crystal, one.label, one.values) for one in found)
        self.generator = generator
        self.seed = seed
        self.checkpoint_sha256 = checkpoint_sha256
        self.notes = notes

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self._samples[index]

    def __repr__(self) -> str:
        formulas = ", ".join(sample.formula for sample in self._samples[:5])
        return f"<{len(self)} samples of {self.generator}: {formulas}{', ...' if len(self) > 5 else ''}>"

    def _repr_html_(self) -> str:
        """Pictures of the first ones and the table of all, for a notebook; nothing is fetched."""
        from redoxa.pipeline.pages.kit.notebook import crystal_figure

        figures = "".join(crystal_figure(s.crystal, s.label) for s in self[:PICTURED])
        return f'<div style="display:flex;flex-wrap:wrap">{figures}</div>{self.frame().to_html(index=False)}'

    def frame(self) -> pd.DataFrame:
        """One row a sample, as in ``samples.csv``."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def _rows(self) -> list[dict[str, object]]:
        width = max(4, len(str(len(self))))
        origin = {"generator": self.generator, "seed": self.seed, "checkpoint_sha256": self.checkpoint_sha256}
        return [
            {
                "index": i,
                "file": f"{i:0{width}d}_{flat_formula(sample.formula)}.cif",
                "formula": sample.formula,
                "n_atoms": sample.crystal.n_atoms,
                "space_group": sample.space_group,
                "density_g_cm3": round(density_g_cm3(sample.crystal), 3),
                "label": sample.label,
                **sample.values,
                **origin,
            }
            for i, sample in enumerate(self)
        ]

    def write(self, out: Path | str) -> Path:
        """Write CIF files, samples.extxyz and samples.csv, all in the same order; returns the folder.

        Earlier samples in the folder stay until the new ones are complete. Files that are not ours stay for good.

        Raises:
            InputError: the folder holds other files already, and no samples.
        """
        out = Path(out)
        samples_of(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            self._write(Path(folder))
            _swap(Path(folder), out)
        return out

    def _write(self, out: Path) -> None:
        rows, crystals = self._rows(), [sample.crystal for sample in self]
        for crystal, row in zip(crystals, rows, strict=True):
            (out / str(row["file"])).write_text(cif_text(crystal), encoding="utf-8")
        write_extxyz(out / ALL_SAMPLES, crystals, [str(row["file"]) for row in rows])
        known = dict.fromkeys(name for sample in self for name in sample.values)
        first = [name for name in (rows[0] if rows else ()) if name not in known]
        columns = [*first[:-3], *known, *first[-3:]]
        with (out / TABLE).open("w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, columns, lineterminator="\n", restval="")
            writer.writeheader()
            for row in rows:
                writer.writerow(row | {name: f"{row[name]:.5g}" for name in known if name in row})


def samples_of(out: Path) -> list[Path]:
    """The CIF files that an earlier `samples.csv` in this folder names.

    Raises:
        InputError: the folder holds files, but no samples.
    """
    try:
        if not any(out.iterdir()):
            return []
        with (out / TABLE).open(encoding="utf-8", newline="") as table:
            names = [row["file"] for row in csv.DictReader(table)]
    except NotADirectoryError:
        raise InputError(f"{out}: is a file; give a folder") from None
    except FileNotFoundError:
        if not out.exists():
            return []
        raise InputError(f"{out}: is not empty and holds no samples of ours; give another folder") from None
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{out / TABLE}: is no table of samples of ours; give another folder") from None
    # A name with a folder in it is none that we wrote.
    return [out / name for name in names if name and Path(name).name == name]


def _swap(made: Path, out: Path) -> None:
    """Put new samples in the place of those in a folder; the table comes last, since it says what is ours."""
    old = samples_of(out)
    out.mkdir(exist_ok=True)
    new = sorted(made.iterdir(), key=lambda path: path.name == TABLE)
    for file in new:
        file.replace(out / file.name)
    for file in set(old) - {out / path.name for path in new}:
        file.unlink(missing_ok=True)
