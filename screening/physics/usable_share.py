"""Which share of the theoretical capacity an electrode gives back in practice: what published capacities teach.

The share is a mean, a slope for the electrons beyond one by redox atom in a polyanion host (Fe4+ in phosphates lies
beyond the electrolyte), a slope for how far an oxide is emptied (layered ones hardly bear the loss of all ions), one
number for ions but lithium, and one for each element that is oxidised. Each has a normal prior, so that few electrodes
move it little (Bayesian linear regression; C. M. Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from pydantic import Field

from redoxa.data.chemistry import REDOX_WINDOW, removable_ions
from redoxa.data.records import Record, WorkingIon
from redoxa.data.structures import composition_mass_amu
from redoxa.data.tables.prototypes import read_library
from redoxa.data.units import FARADAY_MAH_PER_MOL, ION_VALENCE
from redoxa.screening.gates.redox import removal_plan
from redoxa.screening.physics.calibration import COVERAGE, electrode_kind, oxidised_elements
from redoxa.screening.potentials.base import FloatArray

LIBRARY = "capacities"

MEAN_SHARE = 0.7
PRIOR_SIGMA_ALL, PRIOR_SIGMA_SLOPE, PRIOR_SIGMA_ION, PRIOR_SIGMA_ELEMENT = 0.3, 1.0, 0.2, 0.1
LEAST_SHARE = 0.05
REDOX_ELEMENTS = tuple(sorted(REDOX_WINDOW))


@dataclass(frozen=True)
class Removal:
    """`moved` ions leave a discharged cell."""

    composition: Mapping[str, int]
    ion: str
    moved: int

    @property
    def electrons(self) -> int:
        """Charge that the ions carry."""
        return self.moved * ION_VALENCE[self.ion]

    @property
    def theory_mAh_g(self) -> float:
        """Charge n z F of the moving ions over the mass of the discharged cell."""
        return self.electrons * FARADAY_MAH_PER_MOL / composition_mass_amu(self.composition)


class KnownCapacity(Record):
    """A published reversible capacity.

    Attributes:
        formula: of the discharged phase.
        ion: working ion.
        family: structure family, left out as a whole when the share is tested.
        couples: what is oxidised on charge.
        capacity_mAh_g: by the mass of `per`.
        per: formula whose mass the publication counts; the discharged phase where empty.
        source: authors, journal, volume, page, year.
        remark: cut-off, temperature, rate, where they matter.
    """

    formula: str
    ion: WorkingIon
    family: str
    couples: tuple[str, ...] = Field(min_length=1)
    capacity_mAh_g: float = Field(gt=0)
    per: str = ""
    source: str
    remark: str = ""

    @property
    def removal(self) -> Removal:
        """What the redox rule lets out of the discharged phase, as the screening does."""
        cell = _atoms(self.formula)
        cells, moved = removal_plan(removable_ions(cell, self.ion), sum(cell.values()), 4 * sum(cell.values()))
        return Removal({e: n * cells for e, n in cell.items()}, self.ion, moved)

    @property
    def reversible_mAh_g(self) -> float:
        """By the mass of the discharged phase."""
        made = composition_mass_amu(_atoms(self.per or self.formula))
        return self.capacity_mAh_g * made / composition_mass_amu(_atoms(self.formula))

    @cached_property
    def share(self) -> float:
        """Of the theoretical capacity."""
        return self.reversible_mAh_g / self.removal.theory_mAh_g


def _atoms(formula: str) -> dict[str, int]:
    from pymatgen.core import Composition

    return {str(e): round(n) for e, n in Composition(formula).get_el_amt_dict().items()}


class UsableShare:
    """What known electrodes say about the share of a new one.

    Args:
        known: published capacities.
        noise: what is left unexplained; by default such that left-out families are covered by their sigma as often as
            a normal error would be.
    """

    def __init__(self, known: Sequence[KnownCapacity], noise: float | None = None) -> None:
        self.known = tuple(known)
        self.noise = noise or _noise_for_coverage(self.known)
        rows = np.array([_terms_of(k) for k in known]).reshape(-1, len(_PRIOR_SIGMA))
        shares = np.array([k.share for k in known])
        self._covariance = np.linalg.inv(rows.T @ rows / self.noise**2 + np.diag(1 / _PRIOR_SIGMA**2))
        self._weights = self._covariance @ rows.T @ (shares - MEAN_SHARE) / self.noise**2

    @property
    def text(self) -> str:
        """How the share was learned, for the method of an estimate."""
        return f"share of theory learned from {len(self.known)} published capacities"

    def __call__(self, removal: Removal) -> tuple[float, float]:
        """Expected share of the theoretical capacity, at most 1, and its sigma."""
        return self.at(_terms(removal))

    def nearest(self, removal: Removal) -> KnownCapacity | None:
        """The known capacity of the same ion and kind of host, an element oxidised in both, nearest in theory."""
        kind, oxidised = electrode_kind(removal.composition), _oxidised(removal)
        alike = [
            k
            for k in self.known
            if k.ion == removal.ion
            and electrode_kind(k.removal.composition) == kind
            and oxidised & _oxidised(k.removal)
        ]
        return min(
            alike,
            key=lambda k: (
                _oxidised(k.removal) != oxidised,
                round(abs(k.removal.theory_mAh_g - removal.theory_mAh_g), 3),
                k.formula,
            ),
            default=None,
        )

    def at(self, row: FloatArray) -> tuple[float, float]:
        """The same for terms that are known already."""
        sigma = float(self.noise**2 + row @ self._covariance @ row) ** 0.5
        return float(np.clip(MEAN_SHARE + row @ self._weights, LEAST_SHARE, 1.0)), sigma


def leave_families_out(known: Sequence[KnownCapacity], noise: float | None = None) -> list[tuple[float, float]]:
    """Share and sigma of each electrode by those of other families, in the order given."""
    noise = noise or _noise_for_coverage(known)
    by_family = {f: UsableShare([k for k in known if k.family != f], noise) for f in {k.family for k in known}}
    return [by_family[k.family].at(_terms_of(k)) for k in known]


def _noise_for_coverage(known: Sequence[KnownCapacity]) -> float:
    """The noise at which the sigma of left-out families covers `COVERAGE` of their errors."""
    for noise in np.arange(0.05, 0.5, 0.005):
        left_out = leave_families_out(known, float(noise))
        if np.mean([abs(v - k.share) <= sigma for (v, sigma), k in zip(left_out, known, strict=True)]) >= COVERAGE:
            return float(noise)
    return 0.5


_PRIOR_SIGMA = np.array(
    [PRIOR_SIGMA_ALL, PRIOR_SIGMA_SLOPE, PRIOR_SIGMA_SLOPE, PRIOR_SIGMA_ION]
    + [PRIOR_SIGMA_ELEMENT] * len(REDOX_ELEMENTS)
)


def _terms(removal: Removal) -> FloatArray:
    """What the share hangs on, in the order of `_PRIOR_SIGMA`."""
    content, kind, oxidised = removal.composition, electrode_kind(removal.composition), _oxidised(removal)
    atoms = sum(n for e, n in content.items() if e in REDOX_WINDOW)
    beyond_one = max(0.0, 1 - atoms / removal.electrons) if kind == "polyanion" else 0.0
    anions = content.get("O", 0) + content.get("F", 0)
    depth = removal.electrons / anions if kind == "oxide" and anions else 0.0
    elements = [float(e in oxidised) / max(1, len(oxidised)) for e in REDOX_ELEMENTS]
    return np.array([1.0, beyond_one, depth, float(removal.ion != "Li"), *elements])


def _oxidised(removal: Removal) -> frozenset[str]:
    content = removal.composition
    charged = {**content, removal.ion: content[removal.ion] - removal.moved}
    return frozenset(oxidised_elements(content, {e: n for e, n in charged.items() if n}))


@cache
def _terms_of(known: KnownCapacity) -> FloatArray:
    return _terms(known.removal)


@cache
def known_capacities() -> tuple[KnownCapacity, ...]:
    """The published capacities of ``data/library/capacities.yaml``."""
    return tuple(KnownCapacity.model_validate(raw) for raw in read_library(LIBRARY))


@cache
def shipped_share() -> UsableShare:
    """What the shipped capacities say."""
    return UsableShare(known_capacities())
