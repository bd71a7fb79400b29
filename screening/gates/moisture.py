"""Compounds known to react with the water or the carbon dioxide of air: rules, each with why and a source.

A rule says what has been seen of compounds like this one, not what this one does. Silence is no promise either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from redoxa.data.chemistry import oxidation_states
from redoxa.data.records import Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings

ALKALI = frozenset(["Li", "Na", "K", "Rb", "Cs"])
S_BLOCK = ALKALI | {"Mg", "Ca", "Sr", "Ba"}
TRANSITION = frozenset(["Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu"])
POLYANION = frozenset(["B", "C", "N", "Si", "P", "S"])
BOOK = "Greenwood and Earnshaw, Chemistry of the Elements, 2nd ed. (1997)"

Atoms = Mapping[str, int]
States = Mapping[str, float]


@dataclass(frozen=True)
class Rule:
    """One way to suffer in air."""

    code: str
    text: str
    source: str
    applies: Callable[[Atoms, States], bool]


def sensitivities(composition: Atoms) -> list[Rule]:
    """The rules that apply to a compound, by its formula alone.

    Args:
        composition: atoms by element symbol, of any multiple of the formula unit.
    """
    states = oxidation_states(composition) or {}
    return [rule for rule in RULES if rule.applies(composition, states)]


def _anion(states: States, elements: frozenset[str]) -> bool:
    return any(states.get(e, 0.0) < 0 for e in elements)


def _count(composition: Atoms, elements: frozenset[str]) -> int:
    return sum(composition.get(e, 0) for e in elements)


def _sulfide(composition: Atoms, states: States) -> bool:
    return bool(S_BLOCK & composition.keys()) and _anion(states, frozenset(["S", "Se"]))


def _nitride_phosphide(composition: Atoms, states: States) -> bool:
    """Cyanides (with carbon) are another matter."""
    binds = bool(S_BLOCK & composition.keys()) and "C" not in composition
    return binds and _anion(states, frozenset(["N", "P", "As"]))


def _halide(composition: Atoms, states: States) -> bool:
    return "O" not in composition and _anion(states, frozenset(["Cl", "Br", "I"]))


def _metallic(composition: Atoms, states: States) -> bool:
    """Alloys, and compounds of graphite, whose carbon carries less than one electron for two atoms."""
    graphite = -0.5 < states.get("C", -1.0) < 0
    alloy = bool(states) and not any(q < 0 for q in states.values())
    return bool(ALKALI & composition.keys()) and (graphite or alloy)


def _simple_oxide(composition: Atoms) -> bool:
    """An oxide with transition metals and without polyanions."""
    return "O" in composition and bool(TRANSITION & composition.keys()) and not POLYANION & composition.keys()


def _layered_formula(composition: Atoms) -> bool:
    """AxMO2 with x from 0.4 to 1.05, every cation but the alkali metal counted as M."""
    others = sum(n for e, n in composition.items() if e not in ALKALI | {"O"})
    share = _count(composition, ALKALI) / others if others else 0.0
    return _simple_oxide(composition) and 0.4 <= share <= 1.05 and abs(composition["O"] / others - 2) < 0.05


def _nickel_rich(composition: Atoms, states: States) -> bool:  # noqa: ARG001
    nickel = composition.get("Ni", 0) / max(1, _count(composition, TRANSITION))
    return "Li" in composition and _layered_formula(composition) and nickel >= 0.6


def _layered_sodium(composition: Atoms, states: States) -> bool:  # noqa: ARG001
    return bool({"Na", "K"} & composition.keys()) and _layered_formula(composition)


def _alkali_rich(composition: Atoms, states: States) -> bool:
    """At least one alkali atom an oxygen atom, as in Li2O, Li5FeO4 and Li6CoO4."""
    basic = "O" in composition and not POLYANION & composition.keys() and states.get("O", 0.0) <= -1
    return basic and _count(composition, ALKALI) >= composition["O"]


RULES = (
    Rule("h2s", "sulfides and selenides of the s block give off toxic H2S or H2Se with moist air",
         BOOK, _sulfide),
    Rule("hydrolysis", "nitrides, phosphides and arsenides of the s block give off NH3, PH3 or AsH3 with water",
         BOOK, _nitride_phosphide),
    Rule("halide", "chlorides, bromides and iodides take up water; those of Al3+, Ti4+ and the like give off the acid",
         BOOK, _halide),
    Rule("metallic", "alkali metals in alloys and in graphite give off hydrogen with water, and may catch fire", BOOK,
         _metallic),
    Rule("nickel_rich", "layered oxides with six tenths or more of nickel grow lithium hydroxide and carbonate in air",
         "Chen et al., doi:10.3389/fenrg.2020.593009", _nickel_rich),
    Rule("layered_sodium", "if layered, as most such oxides of Na and K: takes up water and CO2 and loses alkali metal",
         "Zuo et al., doi:10.1038/s41467-020-17290-6", _layered_sodium),
    Rule("alkali_rich", "oxides as rich in alkali metal as in oxygen turn to hydroxide and carbonate in air", BOOK,
         _alkali_rich),
)  # fmt: skip
"""From what is dangerous to what is a nuisance."""


class MoistureSensitivity:
    """Warnings of reactions with air and water; it never rejects."""

    name: ClassVar[str] = "moisture"
    summary: ClassVar[str] = "warns of compounds known to react with moist air"
    stage: ClassVar[str] = "hazard"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.004

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """One warning a rule that applies."""
        formula = subject.candidate.formula
        return Findings(reasons=[
            Reason(stage=self.stage, code=f"moisture_{rule.code}", verdict=Verdict.PASS,
                   text=f"{formula}: {rule.text} ({rule.source})")
            for rule in sensitivities(subject.candidate.crystal.composition)
        ])  # fmt: skip
