"""From the voltage of a potential to the one that is measured: what known electrodes teach about its error.

The error of a voltage is a number for all, a share of what a second model says more, and a number for the kind of
host. Each has a normal prior around zero, so that few electrodes move it little (Bayesian linear regression; C. M.
Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3), and the sigma of a new voltage grows with the
distance from what the known ones cover.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from redoxa.data.chemistry import REDOX_WINDOW, oxidation_states
from redoxa.data.shipped import shipped
from redoxa.screening.potentials.base import FloatArray

SHIPPED, METALS_SHIPPED = "voltage_anchors.csv", "ion_metals.csv"
FIRST_MODEL, SECOND_MODEL = "chgnet", "chgnet-r2scan"
"""The potential whose voltages are calibrated, and the one that is asked for both energies where the first relaxed."""

KINDS = ("oxide", "polyanion", "chalcogenide", "fluoride", "carbon")
"""Kinds that the calibration has a term for; `electrode_kind` knows more."""

CENTRES = ("P", "Si", "B", "S", "N", "C", "As", "Ge")
"""Elements that make polyanions with oxygen (or carbon with nitrogen): positive beside it."""

ANIONS_OF: Mapping[str, frozenset[str]] = {
    "chalcogenide": frozenset({"S", "Se", "Te"}), "oxide": frozenset({"O"}), "fluoride": frozenset({"F"}),
    "halide": frozenset({"Cl", "Br", "I"}), "nitride": frozenset({"N"}), "pnictide": frozenset({"P", "As", "Sb"}),
    "hydride": frozenset({"H"}), "carbide": frozenset({"C"}), "boride": frozenset({"B"}),
}  # fmt: skip
"""Kind by anion; the first of several counts."""

PRIOR_SIGMA_V = {"all": 0.2, "kind": 0.3}
"""The one of the kind stands for kinds that no known electrode has too: with each of the four known kinds left out as a
whole, 78 % of its electrodes lie within their sigma (`tests/unit/screening/test_calibration.py`)."""

PRIOR_SIGMA_SHARE = 0.3
"""Of the difference between the models that counts."""

NEW_ELEMENT_SIGMA_V = 0.2
"""Added where no known electrode is oxidised at the same element."""

COVERAGE = 0.683
"""Share of left-out electrodes that one sigma is to cover."""


@dataclass(frozen=True)
class Anchor:
    """A known electrode: its voltage against the ion's metal as measured, and by two models at the same geometry.

    Attributes:
        name: of the prototype.
        family: structure family, left out as a whole when the calibration is tested.
        kind: one of `KINDS`.
        redox: elements that are oxidised, joined by spaces.
        measured_V: published average voltage.
        first_V: by the potential that relaxed the states.
        second_V: by the second model, for the same two geometries.
    """

    name: str
    family: str
    kind: str
    redox: str
    measured_V: float
    first_V: float
    second_V: float


@dataclass(frozen=True)
class CalibratedVoltage:
    """A voltage that stands for a measured one; `remarks` say what lies outside of the known electrodes."""

    value_V: float
    sigma_V: float
    remarks: tuple[str, ...] = ()


class VoltageCalibration:
    """What the errors of known electrodes say about a new one.

    Args:
        anchors: known electrodes.
        noise_V: what is left unexplained; by default such that left-out families are covered by their sigma as often
            as a normal error would be.
    """

    def __init__(self, anchors: Sequence[Anchor], noise_V: float | None = None) -> None:
        self.anchors = tuple(anchors)
        self.noise_V = noise_V or _noise_for_coverage(self.anchors)
        rows = np.array([_features(a.kind, a.second_V - a.first_V) for a in anchors]).reshape(-1, _N_FEATURES)
        errors = np.array([a.measured_V - a.first_V for a in anchors])
        self._covariance = np.linalg.inv(rows.T @ rows / self.noise_V**2 + np.diag(1 / _PRIOR_SIGMA**2))
        self._weights = self._covariance @ rows.T @ errors / self.noise_V**2
        differences = [a.second_V - a.first_V for a in anchors] or [0.0]
        self._differences_V = min(differences), max(differences)
        self._elements = frozenset(e for a in anchors for e in a.redox.split())
        self._kinds = frozenset(a.kind for a in anchors)

    @property
    def text(self) -> str:
        """How the calibration was made, for the method of an estimate."""
        known = f"{len(self.anchors)} measured electrodes"
        return f"calibrated by {SECOND_MODEL} and {known}, {self.noise_V:.2f} V unexplained"

    def __call__(
        self, first_V: float, second_V: float, kind: str, redox: Iterable[str], anion_redox: bool = False
    ) -> CalibratedVoltage:
        """Calibrate a voltage.

        Args:
            first_V: by the potential that relaxed the states.
            second_V: by the second model.
            kind: `electrode_kind`.
            redox: elements that are oxidised.
            anion_redox: whether the anions pay, of which no known electrode tells.
        """
        difference_V = second_V - first_V
        row = _features(kind, difference_V)
        variance = self.noise_V**2 + float(row @ self._covariance @ row)
        remarks = []
        if unknown := sorted(set(redox) - self._elements):
            variance += NEW_ELEMENT_SIGMA_V**2
            remarks.append(f"no known electrode is oxidised at {', '.join(unknown)}")
        if kind not in self._kinds:
            variance += PRIOR_SIGMA_V["kind"] ** 2
            remarks.append(f"no known electrode is {'an' if kind[0] in 'aeiou' else 'a'} {kind}")
        if anion_redox:
            variance += PRIOR_SIGMA_V["kind"] ** 2
            remarks.append("the anions would have to be oxidised, as in no known electrode")
        low, high = self._differences_V
        if not low <= difference_V <= high:
            remarks.append(
                f"two models differ by {difference_V:+.2f} V, by {low:+.2f} to {high:+.2f} V in the known ones"
            )
        return CalibratedVoltage(first_V + float(row @ self._weights), variance**0.5, tuple(remarks))

    def nearest(self, first_V: float, kind: str, redox: Iterable[str]) -> Anchor | None:
        """The known electrode of this kind nearest in raw voltage, where some are with the same elements oxidised."""
        wanted = set(redox)

        def distance(a: Anchor) -> tuple[bool, bool, float, str]:
            theirs = set(a.redox.split())
            return not wanted & theirs, theirs != wanted, round(abs(a.first_V - first_V), 6), a.name

        return min((a for a in self.anchors if a.kind == kind), key=distance, default=None)


def leave_families_out(anchors: Sequence[Anchor], noise_V: float | None = None) -> list[CalibratedVoltage]:
    """Calibrate each anchor by those of other families, in the order given."""
    noise_V = noise_V or _noise_for_coverage(anchors)
    by_family = {
        family: VoltageCalibration([a for a in anchors if a.family != family], noise_V)
        for family in {a.family for a in anchors}
    }
    return [by_family[a.family](a.first_V, a.second_V, a.kind, a.redox.split()) for a in anchors]


def _noise_for_coverage(anchors: Sequence[Anchor]) -> float:
    """The noise at which the sigma of left-out families covers `COVERAGE` of their errors."""
    for noise_V in np.arange(0.1, 1.0, 0.01):
        left_out = leave_families_out(anchors, float(noise_V))
        inside = [abs(c.value_V - a.measured_V) <= c.sigma_V for c, a in zip(left_out, anchors, strict=True)]
        if np.mean(inside) >= COVERAGE:
            return float(noise_V)
    return 1.0


_N_FEATURES = 2 + len(KINDS)
_PRIOR_SIGMA = np.array([PRIOR_SIGMA_V["all"], PRIOR_SIGMA_SHARE, *[PRIOR_SIGMA_V["kind"]] * len(KINDS)])


def _features(kind: str, difference_V: float) -> FloatArray:
    return np.array([1.0, difference_V, *(float(kind == k) for k in KINDS)])


def electrode_kind(composition: Mapping[str, int]) -> str:
    """What a discharged electrode is, by its anions and what they are bound to: one of `KINDS`, or another word."""
    states = oxidation_states(composition) or {}
    if "C" in composition and states.get("C", -1.0) <= 0 and "N" not in composition and "O" not in composition:
        return "carbon"
    if any(states.get(e, 0.0) > 0 for e in CENTRES if e in composition):
        return "polyanion"
    anions = {e for e in composition if states.get(e, 0.0) < 0} if states else set(composition)
    return next((kind for kind, elements in ANIONS_OF.items() if anions & elements), "alloy")


def oxidised_elements(discharged: Mapping[str, int], charged: Mapping[str, int]) -> tuple[str, ...]:
    """Redox elements whose common oxidation state rises; all redox elements where charge balance does not say."""
    before, after = oxidation_states(discharged), oxidation_states(charged)
    elements = sorted(e for e in charged if e in REDOX_WINDOW)
    if before is None or after is None:
        return tuple(elements)
    return tuple(e for e in elements if after[e] > before[e]) or tuple(elements)


def write_anchors(path: Path, anchors: Iterable[Anchor]) -> None:
    """Write known electrodes (CSV)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Anchor)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(anchor) for anchor in anchors)


def read_anchors(path: Path) -> list[Anchor]:
    """Read what `write_anchors` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Anchor(
                r["name"], r["family"], r["kind"], r["redox"],
                float(r["measured_V"]), float(r["first_V"]), float(r["second_V"]),
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


@cache
def shipped_calibration(potential: str) -> VoltageCalibration | None:
    """The calibration of a potential; None for those that have none."""
    return VoltageCalibration(read_anchors(shipped(SHIPPED))) if potential == FIRST_MODEL else None


@cache
def second_metals_eV() -> Mapping[str, float]:
    """Energies of the ions' metals in eV/atom by the second model."""
    with shipped(METALS_SHIPPED).open(encoding="utf-8", newline="") as file:
        return {row["ion"]: float(row["energy_eV_per_atom"]) for row in csv.DictReader(file)}
