"""`redoxa screen FILE...`: anyone's structures through the same funnel as a campaign's candidates."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redoxa.data.errors import InputError, StructureError
from redoxa.data.formats.found import Reading
from redoxa.data.io import NAMES, SUFFIXES, may_hold_structures, read_each
from redoxa.data.progress import SILENT, Watcher
from redoxa.data.records import Candidate, Origin, Reason, ScreeningResult, Verdict
from redoxa.data.structures import primitive
from redoxa.data.whole import whole
from redoxa.pipeline.campaign.session import DEFAULT_STORE, runs_folder
from redoxa.pipeline.pages.card.model import FileRow, ScreeningData
from redoxa.screening.settings import ScreenSettings

MAX_ATOMS: Final = 200
PROFILE: Final = 3
ORDERINGS: Final = 2


@dataclass(frozen=True)
class ScreenOptions:
    """What the command was asked for.

    Attributes:
        ion: working ion.
        campaign: file whose screen section counts; without one, nothing is rejected by limits.
        workers: processes; 0 means one for each core.
        store: where relaxations are kept; None keeps none.
        profile: states of partial charge; None leaves it to the campaign, or takes `PROFILE`.
        orderings: arrangements of the ions in each; None likewise.
        barriers: kinds of hops whose barrier is computed; None leaves it to the campaign, or computes none.
        exchange: ion in the files that the working ion takes the place of.
        trust_sites: read CIFs as their sites stand where formula, multiplicities or volume contradict them.
    """

    ion: str
    campaign: Path | None = None
    workers: int = 0
    store: str | None = None
    profile: int | None = None
    orderings: int | None = None
    barriers: int | None = None
    exchange: str | None = None
    trust_sites: bool = False

    @property
    def settings(self) -> ScreenSettings:
        """Settings of the screening: those of the campaign or permissive ones, under what was asked for."""
        asked = {"profile_states": self.profile, "orderings": self.orderings, "barriers": self.barriers}
        changes = {name: value for name, value in asked.items() if value is not None} | {"workers": self.workers}
        if self.campaign is None:
            wide = {"max_atoms": MAX_ATOMS, "profile_states": PROFILE, "orderings": ORDERINGS}
            return ScreenSettings.permissive(**{**wide, **changes})
        from redoxa.pipeline.campaign.lookup import find_spec

        return find_spec(self.store or DEFAULT_STORE, str(self.campaign)).screening.model_copy(update=changes)


def structure_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and in the place of a folder those of its files that can hold structures, by name.

    Raises:
        StructureError: a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.is_file() and may_hold_structures(p))
        if not inside:
            raise StructureError(f"{path}: the folder holds no structure files ({', '.join((*SUFFIXES, *NAMES))})")
        found += inside
    return found


def assess(
    files: Sequence[Path],
    options: ScreenOptions,
    on_row: Callable[[FileRow], None] | None = None,
    watcher: Watcher = SILENT,
) -> list[FileRow]:
    """Screen the primitive cells of files; rows in the order of the files, each handed to `on_row` in its turn."""
    settings = options.settings
    rows: list[FileRow | None] = []
    waiting: dict[str, list[tuple[int, str]]] = {}
    to_screen: dict[str, Candidate] = {}
    remarks: list[tuple[str, ...]] = []
    for name, candidate, assumed in _candidates(files, options):
        remarks.append(assumed)
        if isinstance(candidate, InputError):
            rows.append(FileRow(name=name, problem=str(candidate)))
            continue
        waiting.setdefault(candidate.id, []).append((len(rows), name))
        to_screen.setdefault(candidate.id, candidate)
        rows.append(None)
    emit = _InOrder(rows, on_row)
    emit()
    if to_screen:
        for result in _screen(list(to_screen.values()), settings, options.store, watcher):
            for index, name in waiting[result.candidate_id]:
                candidate = to_screen[result.candidate_id]
                rows[index] = FileRow(name=name, candidate=candidate, result=result, remarks=remarks[index])
            emit()
    return [row for row in rows if row is not None]


def _candidates(
    files: Sequence[Path], options: ScreenOptions
) -> Iterator[tuple[str, Candidate | InputError, tuple[str, ...]]]:
    """Each structure as a candidate, or why it cannot be one; and what the reader had to assume."""
    for file in files:
        for name, outcome in read_each(file, options.trust_sites):
            if isinstance(outcome, StructureError):
                yield name, outcome, ()
                continue
            try:
                yield name, _candidate(outcome, options), outcome.remarks
            except InputError as error:
                yield name, InputError(f"{name}: {error}"), ()


def _candidate(found: Reading, options: ScreenOptions) -> Candidate:
    cell, detail = primitive(found.crystal), found.name
    if options.exchange is not None:
        from redoxa.screening.ions.insertion import exchanged

        cell = exchanged(cell, options.exchange, options.ion)
        detail = f"{detail}, {options.ion} for {options.exchange}"
    return Candidate(crystal=cell, working_ion=options.ion, origin=Origin(generator="file", seed=0, detail=detail))


class _InOrder:
    """Hands finished rows on in order, each once."""

    def __init__(self, rows: list[FileRow | None], on_row: Callable[[FileRow], None] | None) -> None:
        self._rows, self._on_row, self._next = rows, on_row, 0

    def __call__(self) -> None:
        while self._next < len(self._rows) and (row := self._rows[self._next]) is not None:
            if self._on_row is not None:
                self._on_row(row)
            self._next += 1


def _screen(
    candidates: Sequence[Candidate], settings: ScreenSettings, store: str | None, watcher: Watcher
) -> Iterator[ScreeningResult]:
    from redoxa.data.storage.store import Store
    from redoxa.pipeline.campaign.screening_context import open_context
    from redoxa.screening.funnel import FunnelStats, screen

    opened = Store.open(store) if store is not None else None
    context = open_context(opened, runs_folder(store or DEFAULT_STORE))
    try:
        yield from screen(
            candidates,
            settings,
            context,
            FunnelStats(),
            lambda _, done, total: watcher.on_progress("screen", done, total),
        )
    finally:
        context.close()
        if opened is not None:
            opened.close()


def json_row(row: FileRow, ion: str) -> dict[str, Any]:
    """One line of the command's JSON."""
    result = row.result
    unread = Reason(stage="read", code="unreadable", text=row.problem, verdict=Verdict.ERROR)
    return {
        "file": row.name,
        "candidate_id": result.candidate_id if result else None,
        "formula": result.formula if result else None,
        "working_ion": ion,
        "verdict": (result.verdict if result else Verdict.ERROR).value,
        "reasons": [reason.model_dump(mode="json") for reason in (result.reasons if result else (unread,))],
        "properties": {
            name: {"value": e.value, "sigma": e.sigma, "unit": e.unit, "method": e.method}
            for name, e in (result.estimates if result else {}).items()
        },
        "notes": result.notes if result else {},
        "remarks": list(row.remarks),
        "profile": [step.model_dump(mode="json") for step in (result.profile if result else ())],
        "paths": [path.model_dump(mode="json") for path in (result.paths if result else ())],
    }


def default_page(store: str | None) -> Path:
    """Where the page goes when no place is named: beside the store, else into ``runs``."""
    return runs_folder(store or DEFAULT_STORE) / "screening.html"


def write_page(path: Path, rows: Sequence[FileRow], options: ScreenOptions) -> None:
    """Write the page with a card for each structure.

    Raises:
        InputError: the file cannot be written.
    """
    from datetime import UTC, datetime

    from redoxa.pipeline.pages.screening_page import build_screening_page

    settings = options.settings
    data = ScreeningData(
        working_ion=options.ion,
        rows=tuple(rows),
        limited=options.campaign is not None,
        settings=_in_words(settings, options),
        settings_hash=settings.settings_hash,
        versions={name: importlib.metadata.version(name) for name in ("redoxa", "torch", "pymatgen", "chgnet")},
        created_at=datetime.now(UTC),
    )
    try:
        with whole(path) as draft:
            draft.write_text(build_screening_page(data), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def _in_words(settings: ScreenSettings, options: ScreenOptions) -> dict[str, str]:
    words = {
        "Working ion": options.ion,
        "Interatomic potential": settings.potential,
        "Limits": f"screen section of {options.campaign}"
        if options.campaign
        else "none: nothing is rejected by limits",
        "States of partial charge": str(settings.profile_states),
        "Arrangements of the ions in each": str(settings.orderings),
        "Kinds of hops with a barrier": str(settings.barriers),
        "Relaxed until forces are below": f"{settings.fmax_eV_A:g} eV/Å",
    }
    return words | ({"Exchanged": f"{options.ion} for {options.exchange}"} if options.exchange else {})
