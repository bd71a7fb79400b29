"""What the screening works with, opened from a store: reference, known materials, duplicates, relaxation cache."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from redoxa.data.records import Candidate
from redoxa.data.storage.store import Store
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.reference import Reference, load_reference
from redoxa.pipeline.campaign.anomaly_scorer import LatentAnomalyScorer
from redoxa.screening.funnel import Context, MemoryCache
from redoxa.screening.physics.duplicates import DuplicateIndex
from redoxa.screening.workers.jobs import AnyOutcome, Outcome

USER_REFERENCE = "reference_user.parquet"
"""File beside the store that `redoxa reference add` writes."""


class StoreCache:
    """Finished computations in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str, kind: type[AnyOutcome]) -> AnyOutcome | None:
        """A finished computation, or None."""
        found = self._store.get_relaxation(key)
        return None if found is None else kind.model_validate(found)

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep it."""
        self._store.put_relaxation(key, outcome.model_dump(mode="json"))


def open_reference(folder: Path) -> Reference:
    """The shipped reference with what the user added in this folder."""
    added = folder / USER_REFERENCE
    return load_reference(extra=[added] if added.exists() else [])


def open_context(store: Store | None, folder: Path = Path("runs"), earlier: Iterable[Candidate] = ()) -> Context:
    """Context of the screening.

    Args:
        store: where finished relaxations are kept; without one they are kept in memory.
        folder: where the user's own reference lies.
        earlier: candidates that stand before those that are screened, for duplicates, in their order.
    """
    return Context(
        reference=open_reference(folder),
        known=load_known_materials(),
        cache=StoreCache(store) if store is not None else MemoryCache(),
        earlier=DuplicateIndex(earlier),
        anomaly=LatentAnomalyScorer(),
    )
