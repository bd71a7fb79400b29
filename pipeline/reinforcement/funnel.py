"""The screening as reinforcement asks for it: crystals in, one result each, in their order; nothing computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from redoxa.data.progress import OnStep
from redoxa.data.records import Candidate, ScreeningResult
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign.screening_context import open_context
from redoxa.screening.funnel import screen
from redoxa.screening.ports import ReferenceTable
from redoxa.screening.settings import ScreenSettings

FILE = "relaxations.db"


class Screening(Protocol):
    """Judges candidates.

    Attributes:
        reference: energies of the known phases.
    """

    reference: ReferenceTable

    def screened(
        self, candidates: Sequence[Candidate], earlier: Sequence[Candidate], on_step: OnStep
    ) -> list[ScreeningResult]:
        """One result a candidate; `earlier` stand before them where duplicates are looked for."""
        ...


class Funnel:
    """The `Screening` of campaigns; finished relaxations are kept in the folder. To be closed.

    Args:
        settings: the `screen` section.
        out: folder of the run.
        runs: folder where the user's own reference lies.
    """

    def __init__(self, settings: ScreenSettings, out: Path, runs: Path = Path("runs")) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.settings, self._store = settings, Store.open(out / FILE)
        self._context = open_context(self._store, runs)
        self.reference: ReferenceTable = self._context.reference

    def screened(
        self, candidates: Sequence[Candidate], earlier: Sequence[Candidate], on_step: OnStep
    ) -> list[ScreeningResult]:
        """See `Screening`.

        Raises:
            PotentialError: the potential cannot be loaded, or is on another scale than the reference.
        """
        for candidate in earlier:
            self._context.earlier.add(candidate)

        def on_progress(_stage: str, done: int, total: int) -> None:
            on_step(done, total)

        unlike = {candidate.id: candidate for candidate in candidates}
        found = screen(list(unlike.values()), self.settings, self._context, on_progress=on_progress)
        by_id = {result.candidate_id: result for result in found}
        self._context.close()  # workers are counted once they have ended
        return [by_id[candidate.id] for candidate in candidates]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._context.close()
        self._store.close()
