"""What a property and a gate of the screening are, and what they see. Light: no torch, no pymatgen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

from data.records import Candidate, Crystal, Estimate, Reason, Verdict

if TYPE_CHECKING:
    from data.reference import Coverage, ReferenceEntry
    from data.tables import KnownMatch
    from screening.novelty import DuplicateIndex
    from screening.relax import Relaxation
    from screening.settings import ScreenSettings
    from screening.stability import Hulls

ROLES = ("discharged", "charged")


class Needs(IntEnum):
    """What has to be there before a property can be evaluated; also the order of the funnel."""

    CRYSTAL = 0
    """The candidate as it came."""
    DISCHARGED = 1
    """The relaxed discharged state."""
    CHARGED = 2
    """Both relaxed states."""


class KnownMaterialsTable(Protocol):
    """Published materials (`data.tables.KnownMaterials`)."""

    def nearest(self, crystal: Crystal, tolerance: float = ...) -> KnownMatch | None:
        """The known material nearest to a crystal; None where not even its formula is known."""
        ...


class ReferenceTable(Protocol):
    """Energies of competing phases on one scale (`data.reference.Reference`)."""

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


class RelaxationCache(Protocol):
    """Finished relaxations by content key, so that a killed run repeats none. Used by the parent process only."""

    def get(self, key: str) -> Relaxation | None:
        """A finished relaxation, or None."""
        ...

    def put(self, key: str, relaxation: Relaxation) -> None:
        """Keep a finished relaxation."""
        ...


@dataclass(frozen=True)
class Model:
    """What estimates say of the potential behind them."""

    id: str
    scale: str
    energy_mae_eV_per_atom: float


@dataclass(frozen=True)
class Surroundings:
    """What properties may look at beside the candidate."""

    settings: ScreenSettings
    model: Model
    reference: ReferenceTable
    hulls: Hulls
    known: KnownMaterialsTable | None = None
    earlier: DuplicateIndex | None = None


@dataclass
class Subject:
    """A candidate on its way through the funnel: what is known of it so far.

    Attributes:
        candidate: as it came.
        supercells: cells of `candidate.crystal` that the charged state is made from, set by the redox gate.
        n_removed: working ions that leave these cells on full charge, set likewise.
        discharged: relaxed discharged state.
        charged: relaxed charged state; its cell may be a supercell of the discharged one.
        charged_start: the discharged cell (or supercell) from which the charged one was made, before ions left.
        between: relaxed states of partial charge, where a profile was asked for.
        estimates: what has been estimated, by property name.
    """

    candidate: Candidate
    supercells: int = 1
    n_removed: int = 0
    discharged: Relaxation | None = None
    charged: Relaxation | None = None
    charged_start: Crystal | None = None
    between: tuple[Relaxation, ...] = ()
    estimates: dict[str, Estimate] = field(default_factory=dict)

    @property
    def ion(self) -> str:
        """The working ion."""
        return self.candidate.working_ion

    @property
    def n_moving(self) -> float:
        """Working ions that leave per cell of the candidate."""
        return self.n_removed / self.supercells

    @property
    def crystal(self) -> Crystal:
        """The best geometry known of the discharged state."""
        return self.discharged.crystal if self.discharged is not None else self.candidate.crystal

    @property
    def both(self) -> tuple[Relaxation, Relaxation]:
        """Relaxed discharged and charged state.

        Raises:
            LookupError: the funnel asked too early; `Needs.CHARGED` was not declared.
        """
        if self.discharged is None or self.charged is None:
            raise LookupError("both relaxed states are needed; declare `needs = Needs.CHARGED`")
        return self.discharged, self.charged


@dataclass
class Findings:
    """What one property or gate found. A reason with another verdict than `pass` ends the candidate's way."""

    estimate: Estimate | None = None
    reasons: list[Reason] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict among the reasons; a definite rejection outweighs what could not be determined."""
        order = (Verdict.PASS, Verdict.UNDETERMINED, Verdict.FAIL, Verdict.ERROR)
        return max((r.verdict for r in self.reasons), key=order.index, default=Verdict.PASS)


class Gate(Protocol):
    """Something that is checked without giving a number. `evaluate` is pure but for what it may cache."""

    name: ClassVar[str]
    summary: ClassVar[str]
    stage: ClassVar[str]
    needs: ClassVar[Needs]
    cost: ClassVar[float]

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Look at one candidate."""
        ...


class Property(Gate, Protocol):
    """A number that limits and objectives may name. `evaluate` returns it as `Findings.estimate`, or a reason why not.

    Attributes:
        stage: name of the funnel's stage it belongs to.
        needs: the states it looks at.
        cost: rough seconds; orders the stages that need the same.
        unit: unit of the estimate.
    """

    unit: ClassVar[str]
