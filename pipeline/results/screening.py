"""What a screening of somebody's structures found: as a table, a page, JSON, in a notebook."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

from pydantic import JsonValue

from redoxa.data.errors import InputError, suggest
from redoxa.data.records import (
    Candidate,
    Crystal,
    Estimate,
    Reason,
    ScreeningResult,
    Verdict,
    WorkingIon,
    plain_formula,
)
from redoxa.data.structures import to_atoms, to_structure
from redoxa.data.whole import whole
from redoxa.pipeline.pages.kit.downloads import values_by_unit
from redoxa.pipeline.pages.kit.model import FileRow, ScreeningData

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from pymatgen.core import Structure

VERSIONS: Final = ("redoxa", "torch", "pymatgen", "chgnet")


@dataclass(frozen=True)
class Screened:
    """One structure and what was found of it.

    ``found["average_voltage"]`` is an `Estimate`: value, sigma, unit, method and model.

    Attributes:
        name: file, formula or candidate that it is.
        working_ion: which ion it was screened for.
        candidate: the crystal as it was given, with its working ion; None where it could not be read.
        result: everything that was found; None where it could not be screened, or was not yet.
        problem: why it could not be screened; empty otherwise.
        remarks: what its reader had to assume.
    """

    name: str
    working_ion: WorkingIon
    candidate: Candidate | None = None
    result: ScreeningResult | None = None
    problem: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """Formula as it was given; "" where it could not be read."""
        return plain_formula(self.candidate.formula) if self.candidate else ""

    @property
    def verdict(self) -> Verdict:
        """``pass``, ``fail``, ``undetermined`` or ``error``; undetermined where it was not screened yet."""
        if self.result is not None:
            return self.result.verdict
        return Verdict.ERROR if self.problem else Verdict.UNDETERMINED

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it got its verdict, and warnings."""
        unread = Reason(stage="read", code="unreadable", text=self.problem, verdict=Verdict.ERROR)
        return self.result.reasons if self.result else (unread,) if self.problem else ()

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """What was estimated, by property name."""
        return self.result.estimates if self.result else {}

    def __getitem__(self, name: str) -> Estimate:
        """An estimate.

        Raises:
            InputError: it was not estimated; the message says why, as far as is known.
        """
        if name not in self.estimates:
            why = "; ".join(dict.fromkeys(r.text for r in self.reasons if r.verdict is not Verdict.PASS))
            raise InputError(f"{self.name}: '{name}' was not estimated. {why or suggest(name, self.estimates)}")
        return self.estimates[name]

    @property
    def structure(self) -> Structure:
        """The crystal as it was given, as a pymatgen `Structure`.

        Raises:
            InputError: it could not be read.
        """
        return to_structure(self._given())

    @property
    def atoms(self) -> Atoms:
        """The crystal as it was given, as ASE `Atoms`.

        Raises:
            InputError: it could not be read.
        """
        return to_atoms(self._given())

    def _given(self) -> Crystal:
        if self.candidate is None:
            raise InputError(self.problem)
        return self.candidate.crystal

    @property
    def discharged(self) -> Structure | None:
        """The relaxed discharged state; None where it was not reached."""
        return self._relaxed("discharged")

    @property
    def charged(self) -> Structure | None:
        """The relaxed charged state; None where it was not reached."""
        return self._relaxed("charged")

    def _relaxed(self, state: str) -> Structure | None:
        crystal = self.result.crystals.get(state) if self.result else None
        return None if crystal is None else to_structure(crystal)

    def row(self) -> dict[str, object]:
        """One flat row: names carry units, ``average_voltage (V)`` with ``average_voltage sigma``."""
        why = "; ".join(dict.fromkeys(r.text for r in self.reasons if r.verdict is not Verdict.PASS))
        head = {"name": self.name, "formula": self.formula, "verdict": self.verdict.value, "reason": why}
        return head | values_by_unit("", self.estimates)

    def to_json(self) -> dict[str, JsonValue]:
        """Everything but the relaxed crystals, as a line of `redoxa screen --json`."""
        result = self.result
        return {
            "file": self.name,
            "candidate_id": self.candidate.id if self.candidate else None,
            "formula": result.formula if result else None,
            "working_ion": self.working_ion,
            "verdict": self.verdict.value,
            "reasons": [reason.model_dump(mode="json") for reason in self.reasons],
            "properties": {
                name: {"value": e.value, "sigma": e.sigma, "unit": e.unit, "method": e.method}
                for name, e in self.estimates.items()
            },
            "notes": dict(result.notes) if result else {},
            "remarks": list(self.remarks),
            "profile": [step.model_dump(mode="json") for step in (result.profile if result else ())],
            "paths": [path.model_dump(mode="json") for path in (result.paths if result else ())],
        }

    def __repr__(self) -> str:
        volts = self.estimates.get("average_voltage")
        told = f", {volts.text} {volts.unit}" if volts else ""
        return f"<{self.name}: {self.formula or 'unusable'}, {self.verdict.value}{told}>"

    def _file_row(self) -> FileRow:
        return FileRow(
            name=self.name, candidate=self.candidate, result=self.result, problem=self.problem, remarks=self.remarks
        )


class Screening(Sequence[Screened]):
    """Structures that were screened, in the order in which they were given.

    Attributes:
        working_ion: which ion moves.
        limited: whether limits of a campaign could reject; else everything is computed and nothing judged.
        settings: what was computed and how, in words.
        settings_hash: what the numbers hang on.
    """

    def __init__(
        self,
        found: Sequence[Screened],
        *,
        working_ion: WorkingIon,
        limited: bool,
        settings: Mapping[str, str],
        settings_hash: str,
    ) -> None:
        self._found = tuple(found)
        self.working_ion = working_ion
        self.limited = limited
        self.settings = dict(settings)
        self.settings_hash = settings_hash
        self._created_at = datetime.now(UTC)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Screened]:
        return iter(self._found)

    @overload
    def __getitem__(self, index: int) -> Screened: ...
    @overload
    def __getitem__(self, index: slice) -> Screening: ...
    def __getitem__(self, index: int | slice) -> Screened | Screening:
        if isinstance(index, int):
            return self._found[index]
        return Screening(
            self._found[index],
            working_ion=self.working_ion,
            limited=self.limited,
            settings=self.settings,
            settings_hash=self.settings_hash,
        )

    def __repr__(self) -> str:
        lines = "".join(f"\n  {one!r}" for one in self)
        return f"<{len(self)} structures screened for {self.working_ion}:{lines}>"

    def frame(self) -> pd.DataFrame:
        """One row a structure: ``average_voltage (V)`` with ``average_voltage sigma``, and so on."""
        import pandas as pd

        return pd.DataFrame([one.row() for one in self])

    def page(self) -> str:
        """A page with a card for each structure, as one HTML text that needs no network."""
        from redoxa.pipeline.pages.screening_page import build_screening_page

        return build_screening_page(
            ScreeningData(
                working_ion=self.working_ion,
                rows=tuple(one._file_row() for one in self),
                limited=self.limited,
                settings=self.settings,
                settings_hash=self.settings_hash,
                versions={name: importlib.metadata.version(name) for name in VERSIONS},
                created_at=self._created_at,
            )
        )

    def _repr_html_(self) -> str:
        """The page in a frame of its own, for a notebook."""
        from redoxa.pipeline.pages.kit.notebook import framed

        return framed(self.page(), f"Screening for {self.working_ion}")

    def write(self, path: Path | str) -> Path:
        """Write it in the format of the ending, whole or not at all; returns the path.

        Args:
            path: ``.html`` for the page, ``.csv`` and ``.parquet`` for the frame, ``.json`` for everything.

        Raises:
            InputError: another ending, or the file cannot be written.
        """
        path = Path(path)
        writers: dict[str, Callable[[Path], object]] = {
            ".html": self._write_page,
            ".csv": lambda draft: self.frame().to_csv(draft, index=False),
            ".parquet": lambda draft: self.frame().to_parquet(draft, index=False),
            ".json": lambda draft: draft.write_text(json.dumps([one.to_json() for one in self], indent=1)),
        }
        if path.suffix not in writers:
            raise InputError(f"{path}: '{path.suffix}' is no format of a screening. {suggest(path.suffix, writers)}")
        return _written(path, writers[path.suffix])

    def write_page(self, path: Path) -> Path:
        """Write the page to a file of any name.

        Raises:
            InputError: the file cannot be written.
        """
        return _written(path, self._write_page)

    def _write_page(self, draft: Path) -> None:
        draft.write_text(self.page(), encoding="utf-8")


def _written(path: Path, write: Callable[[Path], object]) -> Path:
    try:
        with whole(path) as draft:
            write(draft)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return path
