"""`redoxa screen` and `redoxa.screen`: anyone's structures through the same funnel as a campaign's candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast, get_args

from pydantic import ValidationError

from redoxa.data.errors import InputError, StructureError
from redoxa.data.formats.found import Reading
from redoxa.data.io import NAMES, SUFFIXES, may_hold_structures, read_each
from redoxa.data.progress import SILENT, Watcher
from redoxa.data.records import Candidate, Crystal, Origin, ScreeningResult, WorkingIon
from redoxa.data.structures import crystal_of, primitive
from redoxa.pipeline.campaign.session import DEFAULT_STORE, runs_folder
from redoxa.pipeline.results.samples import ALL_SAMPLES
from redoxa.pipeline.results.samples import TABLE as SAMPLES
from redoxa.pipeline.results.screening import Screened, Screening
from redoxa.screening.settings import ScreenSettings

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

    from redoxa.data.structures import HasCrystal

Given: TypeAlias = "str | Path | Structure | Atoms | Crystal | HasCrystal"
"""A structure file, a folder of them, or a structure: of pymatgen, of ASE, or a record."""

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

    ion: WorkingIon
    campaign: Path | None = None
    workers: int = 0
    store: str | None = None
    profile: int | None = None
    orderings: int | None = None
    barriers: int | None = None
    exchange: WorkingIon | None = None
    trust_sites: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            InputError: an ion is to take its own place.
        """
        if self.exchange == self.ion:
            raise InputError(f"--exchange {self.ion}: is the working ion itself; name another with --ion")

    @property
    def settings(self) -> ScreenSettings:
        """Settings of the screening: those of the campaign or permissive ones, under what was asked for.

        Raises:
            InputError: a value outside its range; or no such campaign.
        """
        asked = {"profile_states": self.profile, "orderings": self.orderings, "barriers": self.barriers}
        changes = {name: value for name, value in asked.items() if value is not None} | {"workers": self.workers}
        if self.campaign is None:
            usual = ScreenSettings.permissive(max_atoms=MAX_ATOMS, profile_states=PROFILE, orderings=ORDERINGS)
        else:
            from redoxa.pipeline.campaign.lookup import find_spec

            usual = find_spec(self.store or DEFAULT_STORE, str(self.campaign)).screening
        try:
            return ScreenSettings.model_validate(usual.model_dump() | changes)
        except ValidationError as error:
            first = error.errors()[0]
            where = f"{first['loc'][0]} {first['input']}: " if first["loc"] else ""
            raise InputError(f"{where}{first['msg'].removeprefix('Value error, ')}") from None


def working_ion(name: str, where: str) -> WorkingIon:
    """A working ion by its symbol.

    Raises:
        InputError: it is none.
    """
    for ion in get_args(WorkingIon):
        if ion == name:
            return cast("WorkingIon", ion)
    raise InputError(f"{where} '{name}': not a working ion. Known: {', '.join(get_args(WorkingIon))}")


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
        if (path / SAMPLES).exists():  # the same crystals once more, in one file
            inside = [p for p in inside if p.name != ALL_SAMPLES]
        if not inside:
            raise StructureError(f"{path}: the folder holds no structure files ({', '.join((*SUFFIXES, *NAMES))})")
        found += inside
    return found


def screen(
    given: Iterable[Given],
    options: ScreenOptions,
    on_row: Callable[[Screened], None] | None = None,
    watcher: Watcher = SILENT,
) -> Screening:
    """Screen the primitive cells of structures; what is the same crystal is screened once.

    Args:
        given: files, folders of them, or structures.
        options: for which ion, and how thoroughly.
        on_row: gets each structure in its turn, as soon as all before it are done.
        watcher: is told how far it is.

    Returns:
        All structures, in the order in which they were given.
    """
    settings = options.settings
    rows: list[Screened | None] = []
    waiting: dict[str, list[int]] = {}
    to_screen: dict[str, Candidate] = {}
    named: list[tuple[str, tuple[str, ...]]] = []
    for name, candidate, assumed in _candidates(given, options):
        named.append((name, assumed))
        if isinstance(candidate, InputError):
            rows.append(Screened(name, options.ion, problem=str(candidate)))
            continue
        waiting.setdefault(candidate.id, []).append(len(rows))
        to_screen.setdefault(candidate.id, candidate)
        rows.append(None)
    emit = _InOrder(rows, on_row)
    emit()
    if to_screen:
        for result in _screened(list(to_screen.values()), settings, options.store, watcher):
            for index in waiting[result.candidate_id]:
                name, remarks = named[index]
                rows[index] = Screened(name, options.ion, to_screen[result.candidate_id], result, remarks=remarks)
            emit()
    return Screening(
        [row for row in rows if row is not None],
        working_ion=options.ion,
        limited=options.campaign is not None,
        settings=in_words(settings, options),
        settings_hash=settings.settings_hash,
    )


def _candidates(
    given: Iterable[Given], options: ScreenOptions
) -> Iterator[tuple[str, Candidate | InputError, tuple[str, ...]]]:
    """Each structure as a candidate, or why it cannot be one; and what the reader had to assume."""
    for nth, one in enumerate(given, 1):
        for name, outcome in readings(one, nth, options.trust_sites):
            if isinstance(outcome, StructureError):
                yield name, outcome, ()
                continue
            try:
                yield name, _candidate(outcome, options), outcome.remarks
            except InputError as error:
                yield name, InputError(f"{name}: {error}"), ()


def readings(one: Given, nth: int, trust_sites: bool = False) -> Iterator[tuple[str, Reading | StructureError]]:
    """The structures of a file or folder, or the one that was given itself; each by its name, or why it cannot be used.

    Args:
        one: what was given.
        nth: its place among others, from 1, for the name of what has none.
        trust_sites: as in `ScreenOptions`.

    Raises:
        StructureError: a folder holds no structure files.
    """
    if isinstance(one, str | Path):
        for file in structure_files([Path(one)]):
            yield from read_each(file, trust_sites)
        return
    name = f"structure {nth}"
    try:
        crystal = crystal_of(one)
    except StructureError as error:
        yield name, StructureError(f"{name}: {error}")
        return
    yield name, Reading(name, crystal)


def _candidate(found: Reading, options: ScreenOptions) -> Candidate:
    cell, detail = primitive(found.crystal), found.name
    if options.exchange is not None:
        from redoxa.screening.ions.insertion import exchanged

        cell = exchanged(cell, options.exchange, options.ion)
        detail = f"{detail}, {options.ion} for {options.exchange}"
    return Candidate(crystal=cell, working_ion=options.ion, origin=Origin(generator="file", seed=0, detail=detail))


class _InOrder:
    """Hands finished rows on in order, each once."""

    def __init__(self, rows: list[Screened | None], on_row: Callable[[Screened], None] | None) -> None:
        self._rows, self._on_row, self._next = rows, on_row, 0

    def __call__(self) -> None:
        while self._next < len(self._rows) and (row := self._rows[self._next]) is not None:
            if self._on_row is not None:
                self._on_row(row)
            self._next += 1


def _screened(
    candidates: Sequence[Candidate], settings: ScreenSettings, store: str | None, watcher: Watcher
) -> Iterator[ScreeningResult]:
    from redoxa.data.storage.store import Store
    from redoxa.pipeline.campaign.screening_context import open_context
    from redoxa.screening.funnel import FunnelStats
    from redoxa.screening.funnel import screen as funnel

    opened = Store.open(store) if store is not None else None
    context = open_context(opened, runs_folder(store or DEFAULT_STORE))
    try:
        step = watcher.step("screen")
        yield from funnel(candidates, settings, context, FunnelStats(), lambda _, done, total: step(done, total))
    finally:
        context.close()
        if opened is not None:
            opened.close()


def default_page(store: str | None) -> Path:
    """Where the page goes when no place is named: beside the store, else into ``runs``."""
    return runs_folder(store or DEFAULT_STORE) / "screening.html"


def in_words(settings: ScreenSettings, options: ScreenOptions) -> dict[str, str]:
    """What is computed and how, for people."""
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
