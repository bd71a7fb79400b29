"""What the screening asks of the world: tables of known materials and of energies, and a cache. Light."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from redoxa.data.records import Crystal

if TYPE_CHECKING:
    from redoxa.data.tables.known_materials import KnownMatch
    from redoxa.data.tables.reference import Coverage, ReferenceEntry
    from redoxa.screening.workers.jobs import AnyOutcome, Outcome


class KnownMaterialsTable(Protocol):
    """Published materials (`data.tables.known_materials.KnownMaterials`)."""

    def nearest(self, crystal: Crystal, tolerance: float = ...) -> KnownMatch | None:
        """The known material nearest to a crystal; None where not even its formula is known."""
        ...


class ReferenceTable(Protocol):
    """Energies of competing phases on one scale (`data.tables.reference.Reference`)."""

    scale: str

    def entries(self, elements: Iterable[str]) -> list[ReferenceEntry]:
        """Phases of a chemical system and its subsystems."""
        ...

    def coverage(self, elements: Iterable[str]) -> Coverage:
        """How much is known of a chemical system."""
        ...

    def ion_metal_energy(self, element: str) -> float:
        """Energy of the elemental metal in eV/atom.

        Raises:
            data.errors.InputError: the table lacks the element.
        """
        ...


class AnomalyScorer(Protocol):
    """How unlike the crystals that some network has learned from one is; the pipeline lends one."""

    def __call__(self, crystal: Crystal) -> float:
        """In standard deviations of the training data; infinite for what the network cannot judge."""
        ...


class OutcomeCache(Protocol):
    """Finished computations by content key, so that a killed run repeats none. Used by the parent process only."""

    def get(self, key: str, kind: type[AnyOutcome]) -> AnyOutcome | None:
        """A finished computation, or None."""
        ...

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep a finished computation."""
        ...
