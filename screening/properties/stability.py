"""Energy above the hull of competing phases, of the states of charge, and the chance to lie near it.

The hull is what the reference knows, without the candidate itself: a negative distance means that the candidate lies
below every known combination of its composition. An incomplete hull gives a lower bound, so its coverage is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from scipy.special import stdtr

from redoxa.data.records import Estimate, Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import NO_REFERENCE, Label, Note

if TYPE_CHECKING:
    from redoxa.screening.compute.relax import Relaxation

HULL_SIGMA_eV_PER_ATOM: Final = 0.103
"""Root mean square error of CHGNet 0.3.0's hull distances on the unique prototypes of WBM; the mean absolute error is
0.063 (Matbench Discovery, J. Riebesell et al., arXiv:2308.14920, and its table of models)."""

HULL_MAE_eV_PER_ATOM: Final = 0.063

DEGREES_OF_FREEDOM: Final = 3
"""Student's t with three has the shape of these errors: scaled to an absolute mean of 0.063 eV/atom its standard
deviation is 0.099, where 0.103 was published; a normal distribution's would be 0.079."""

T_SCALE_eV_PER_ATOM: Final = HULL_MAE_eV_PER_ATOM * math.pi / (2 * math.sqrt(3))
"""The absolute mean of Student's t with three degrees of freedom is 2 sqrt(3) / pi."""

NEAR_HULL_eV_PER_ATOM: Final = 0.1


def probability_near_hull(distance_eV_per_atom: float, limit_eV_per_atom: float = NEAR_HULL_eV_PER_ATOM) -> float:
    """Chance that DFT would place a crystal within the limit, given the distance by CHGNet 0.3.0.

    The error is taken to follow Student's t (`DEGREES_OF_FREEDOM`), without bias. Of a hull that lacks phases it is an
    upper bound.
    """
    standard = (limit_eV_per_atom - distance_eV_per_atom) / T_SCALE_eV_PER_ATOM
    return float(stdtr(DEGREES_OF_FREEDOM, standard))


class StabilityDischarge:
    """Energy above the hull of the relaxed discharged state, as made."""

    name: ClassVar[str] = "stability_discharge"
    summary: ClassVar[str] = "energy above the hull of known phases, discharged (as made)"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "hull"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.2
    # Never "stability": the hull is one of known phases, and a distance to it is a lower bound.
    label: ClassVar[Label] = Label(
        "Above the hull, discharged",
        "Above hull",
        "Decomposition",
        absent=NO_REFERENCE,
        reasoned=True,
        in_prose="hull distance (discharged)",
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "decomposition_discharge": Note("Decomposition, discharged: {}.", "Decomposition", formulas=True),
        "hull_coverage_discharge": Note("Hull, discharged: {}.", told="elsewhere"),
        "competing_phases_discharge": Note("Known phases, discharged: {}.", told="elsewhere"),
        "decomposes_to_discharge": Note("On the hull, discharged: {}.", told="elsewhere"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Distance to the hull of the full chemical system."""
        if subject.discharged is None:
            raise LookupError("the relaxed discharged state is needed")
        return _stability(subject.discharged, around, self.name, self.stage)


class StabilityCharge:
    """Energy above the hull of the relaxed charged state; a high one warns of decay or oxygen loss on charge."""

    name: ClassVar[str] = "stability_charge"
    summary: ClassVar[str] = "energy above the hull of known phases, charged"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "hull_charged"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.3
    label: ClassVar[Label] = Label(
        "Above the hull, charged",
        "Charged, above hull",
        "Decomposition",
        absent=NO_REFERENCE,
        reasoned=True,
        in_prose="hull distance (charged)",
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "decomposition_charge": Note("Decomposition, charged: {}.", "Decomposition", formulas=True),
        "hull_coverage_charge": Note("Hull, charged: {}.", told="elsewhere"),
        "competing_phases_charge": Note("Known phases, charged: {}.", told="elsewhere"),
        "decomposes_to_charge": Note("On the hull, charged: {}.", told="elsewhere"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Distance to the hull of the chemical system that is left."""
        return _stability(subject.both[1], around, self.name, self.stage)


class ProbabilityNearHull:
    """Chance that the state that is made lies within 0.1 eV/atom of the hull: the potential's error taken in."""

    name: ClassVar[str] = "p_near_hull"
    summary: ClassVar[str] = "chance that DFT places the made state within 0.1 eV/atom of the hull (an upper bound)"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "hull"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.21
    label: ClassVar[Label] = Label(
        "Probability of lying near the hull", "Near hull", "Decomposition", absent=NO_REFERENCE, percent=True
    )

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """From the hull distance; nothing where there is no hull. Its sigma is 0: the chance holds the error."""
        state = subject.as_made
        found = around.hulls.distance(state.crystal.composition, state.energy_eV_per_atom)
        if found is None:
            return Findings()
        return Findings(
            Estimate(
                value=probability_near_hull(found.value_eV_per_atom),
                sigma=0.0,
                unit=self.unit,
                method=f"Student's t, {DEGREES_OF_FREEDOM} degrees of freedom, mean absolute error "
                f"{HULL_MAE_eV_PER_ATOM:g} eV/atom on WBM (arXiv:2308.14920); {found.coverage.text}",
                model=around.model.id,
            )
        )


class MaxInstability:
    """The largest energy above the hull of any state of charge; those between the ends may lie higher than both."""

    name: ClassVar[str] = "max_instability"
    summary: ClassVar[str] = "largest energy above the hull of all states of charge (needs screen.profile_states)"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "profile"
    needs: ClassVar[Needs] = Needs.PROFILE
    cost: ClassVar[float] = 0.21
    label: ClassVar[Label] = Label(
        "Above the hull, highest state of charge",
        "Highest above hull",
        "Decomposition",
        absent="no states of partial charge were computed",
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "stability_of_states": Note("Above the hull, state by state: {}.", "Decomposition", formulas=True),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """The lowest ordering of each content counts; nothing where no profile was asked for."""
        if not subject.between:
            return Findings()
        distances: dict[str, float] = {}
        for state in (subject.both[1], *subject.between, subject.both[0]):
            found = around.hulls.distance(state.crystal.composition, state.energy_eV_per_atom)
            if found is None:
                return Findings()
            formula = state.crystal.formula
            distances[formula] = min(found.value_eV_per_atom, distances.get(formula, found.value_eV_per_atom))
        return Findings(
            Estimate(
                value=max(distances.values()),
                sigma=HULL_SIGMA_eV_PER_ATOM,
                unit=self.unit,
                method=_METHOD,
                model=around.model.id,
            ),
            notes={"stability_of_states": ", ".join(f"{f} {x:+.3f} eV/atom" for f, x in distances.items())},
        )


_METHOD = "hull of known phases on the same scale; sigma: RMS error of CHGNet 0.3.0 on WBM (arXiv:2308.14920)"


def _stability(state: Relaxation, around: Surroundings, name: str, stage: str) -> Findings:
    composition = state.crystal.composition
    found = around.hulls.distance(composition, state.energy_eV_per_atom)
    role = "discharge" if name == "stability_discharge" else "charge"
    if found is None:
        text = around.reference.coverage(composition).text
        verdict = Verdict.UNDETERMINED if name in around.settings.all_limits else Verdict.PASS
        return Findings(reasons=[Reason(stage=stage, code="no_hull", text=text, verdict=verdict)])
    decomposed = {} if set(found.products) == {state.crystal.formula} else {f"decomposition_{role}": found.reaction}
    return Findings(
        Estimate(
            value=found.value_eV_per_atom,
            sigma=HULL_SIGMA_eV_PER_ATOM,
            unit="eV/atom",
            method=_METHOD,
            model=around.model.id,
        ),
        notes={
            f"hull_coverage_{role}": found.coverage.text,
            f"competing_phases_{role}": str(found.coverage.n_phases),
            f"decomposes_to_{role}": found.products_text,
            **decomposed,
        },
    )
