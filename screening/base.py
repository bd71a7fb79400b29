"""What a property and a gate of the screening are, and what they see. Light: no torch, no pymatgen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

from redoxa.data.records import Candidate, Crystal, Estimate, MigrationPath, Reason, Verdict, VoltageStep
from redoxa.data.registry import load
from redoxa.screening import GATES, PROPERTIES

if TYPE_CHECKING:
    from redoxa.screening.compute.relax import Relaxation
    from redoxa.screening.mobility.migration import Migration
    from redoxa.screening.physics.calibration import VoltageCalibration
    from redoxa.screening.physics.duplicates import DuplicateIndex
    from redoxa.screening.physics.hulls import Hulls
    from redoxa.screening.ports import AnomalyScorer, KnownMaterialsTable, ReferenceTable
    from redoxa.screening.settings import ScreenSettings

ROLES = ("discharged", "charged")

HELD_eV_per_atom = 0.005
"""Least energy of parting for layers to count as held; CHGNet gives -21 to 0.1 meV/atom for eleven layered hosts."""


class Needs(IntEnum):
    """What has to be there before a property can be evaluated; also the order of the funnel."""

    CRYSTAL = 0
    """The candidate as it came."""
    DISCHARGED = 1
    """The relaxed discharged state."""
    CHARGED = 2
    """Both relaxed states."""
    PROFILE = 3
    """States of partial charge as well."""
    PATHS = 4
    """Barriers of the ion's hops."""


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
    calibration: VoltageCalibration | None = None
    known: KnownMaterialsTable | None = None
    earlier: DuplicateIndex | None = None
    anomaly: AnomalyScorer | None = None


@dataclass
class Subject:
    """A candidate on its way through the funnel: what is known of it so far.

    Attributes:
        candidate: as it came.
        supercells: cells of `candidate.crystal` that make the cell in which ions move, set by the redox gate.
        n_removed: working ions that leave this cell on full charge, set likewise.
        inserts: whether the candidate is the charged state, into which the ions go first; set likewise.
        converts: whether no host would stay, so that the candidate is judged as conversion; set likewise.
        anion_redox: whether the anions would have to pay for the ions; set likewise.
        discharged: relaxed discharged state.
        charged: relaxed charged state; its cell may be a supercell of the discharged one.
        full_cell: the discharged state in the cell that the charged one has (atoms in the same order but for the ions).
        moving: indices in `full_cell` of the ions that may leave; where only some do, the others are chosen to stay.
        second_eV: energies of these two states by a second model, where it was asked.
        layer_binding_eV_per_atom: energy of parting the layers, chains or molecules of the charged state, where it
            falls into such; NaN where the potential could not say.
        dispersed: full and charged state relaxed with dispersion, where that was asked for and the layers need it.
        between: relaxed states of partial charge, where a profile was asked for.
        migration: hops of the ion and their barriers, where they were asked for.
        estimates: what has been estimated, by property name.
        paths: the hops of `migration`, for the record.
        profile: voltage by content of ions, from the charged end.
    """

    candidate: Candidate
    supercells: int = 1
    n_removed: int = 0
    inserts: bool = False
    converts: bool = False
    anion_redox: bool = False
    discharged: Relaxation | None = None
    charged: Relaxation | None = None
    full_cell: Crystal | None = None
    moving: tuple[int, ...] = ()
    second_eV: tuple[float, float] | None = None
    layer_binding_eV_per_atom: float | None = None
    dispersed: tuple[Crystal, Crystal] | None = None
    between: tuple[Relaxation, ...] = ()
    migration: Migration | None = None
    estimates: dict[str, Estimate] = field(default_factory=dict)
    paths: tuple[MigrationPath, ...] = ()
    profile: tuple[VoltageStep, ...] = ()

    @property
    def ion(self) -> str:
        """The working ion."""
        return self.candidate.working_ion

    @property
    def layers_held(self) -> bool:
        """Whether the potential holds the charged state together; frameworks hold by their bonds."""
        binding = self.layer_binding_eV_per_atom
        return binding is None or binding >= HELD_eV_per_atom

    @property
    def n_moving(self) -> float:
        """Working ions that leave (or enter) per cell of the candidate."""
        return self.n_removed / self.supercells

    @property
    def full_composition(self) -> dict[str, int]:
        """Atoms of the cell in which the ions move when all of them are in it."""
        content = {e: n * self.supercells for e, n in self.candidate.crystal.composition.items()}
        if self.inserts:
            content[self.ion] = content.get(self.ion, 0) + self.n_removed
        return content

    @property
    def crystal(self) -> Crystal:
        """The best geometry known of the discharged state; before anything is relaxed, the candidate as it came."""
        return self.discharged.crystal if self.discharged is not None else self.candidate.crystal

    @property
    def as_made(self) -> Relaxation:
        """The relaxed state that is made in a furnace: the charged one where the candidate came as an empty host.

        Raises:
            LookupError: the funnel asked too early; `Needs.DISCHARGED` was not declared.
        """
        state = self.charged if self.inserts else self.discharged
        if state is None:
            raise LookupError("a relaxed state is needed; declare `needs = Needs.DISCHARGED`")
        return state

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
    profile: tuple[VoltageStep, ...] = ()
    paths: tuple[MigrationPath, ...] = ()
    reasons: list[Reason] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict among the reasons; a definite rejection outweighs what could not be determined."""
        order = (Verdict.PASS, Verdict.UNDETERMINED, Verdict.FAIL, Verdict.ERROR)
        return max((r.verdict for r in self.reasons), key=order.index, default=Verdict.PASS)


class Gate(Protocol):
    """Something that is checked without giving a number. `evaluate` is pure but for what it may cache.

    What writes notes declares them as ``notes: ClassVar[Mapping[str, Note]]`` (`labels.Note`), by their keys.
    """

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

    Pages call it by ``label: ClassVar[Label]`` (`labels.Label`); without one they make do with its name.

    Attributes:
        stage: name of the funnel's stage it belongs to.
        needs: the states it looks at.
        cost: rough seconds; orders the stages that need the same.
        unit: unit of the estimate.
    """

    unit: ClassVar[str]


def gate_class(name: str) -> type[Gate]:
    """The class of a registered gate.

    Raises:
        data.errors.UnknownKindError: no such gate.
    """
    kind: type[Gate] = load(GATES, "gate", name)
    return kind


def property_class(name: str) -> type[Property]:
    """The class of a registered property.

    Raises:
        data.errors.UnknownKindError: no such property.
    """
    kind: type[Property] = load(PROPERTIES, "property", name)
    return kind
