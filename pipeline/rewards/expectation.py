"""What a crystal is expected to earn, before anything is relaxed: rewards of the networks' foresight.

Each part of the reward is taken with its chance. What is foreseen is put right by what the run has screened so far, so
that a network that errs is not followed for long: its mean error is taken off, and sigma is what has been seen of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import inf
from typing import Final

import numpy as np
from scipy.special import ndtr

from redoxa.data.chemistry import removable_ions
from redoxa.data.records import Crystal, ScreeningResult, reduced_formula
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.evaluate.families import Families, family
from redoxa.pipeline.rewards.judge import ALL, PARTS, Judge, NEAR_eV_PER_ATOM
from redoxa.screening.gates.redox import removal_plan
from redoxa.screening.physics.usable_share import Removal, shipped_share
from redoxa.screening.ports import ReferenceTable
from redoxa.screening.settings import Range

FIRST_SIGMA_COUNTS: Final = 12
"""For so many screened crystals."""

HULL: Final = "stability_discharge"

NEAR: Final = Range(max=NEAR_eV_PER_ATOM)


class Expectation:
    """Rewards of crystals that are foreseen.

    Args:
        judge: tells families, hulls and objectives.
        ion: working ion.
    """

    def __init__(self, judge: Judge, ion: str) -> None:
        self.judge, self.ion = judge, ion
        self._errors: dict[str, list[float]] = defaultdict(list)
        self._formulas, self._families = set[str](), set[str]()
        self._hull_is_known = cache(self._full_phase)

    def came_before(self, crystals: Iterable[Crystal]) -> None:
        """Their formulas earn nothing any more, and their families are not new."""
        for one in crystals:
            self._formulas.add(one.formula)
            self._families.add(family(one.composition))

    def learn(self, foreseen: Sequence[Foreseen], results: Sequence[ScreeningResult | None]) -> None:
        """See how what was foreseen came out; nothing of what was not screened so far."""
        for one, result in zip(foreseen, results, strict=True):
            self._formulas.add(reduced_formula(dict(one.content)))
            estimates = {} if result is None else result.estimates
            for name, (value, _) in one.values.items():
                if name in estimates:
                    self._errors[name].append(estimates[name].value - value)

    def rewards(self, foreseen: Sequence[Foreseen | None]) -> list[float]:
        """Expected rewards of draws, in their order.

        0 of what would be refused, where no known phase holds all elements, and of a formula that the run screened or
        that earns more elsewhere among these; of a family that does, the new is gone. So what is drawn often earns
        little.
        """
        formulas, families = set(self._formulas), set(self._families)
        alone = [0.0 if one is None else self._alone(one) for one in foreseen]
        found = [0.0] * len(foreseen)
        for i in np.argsort(-np.round(alone, 6), kind="stable"):
            one = foreseen[i]
            if one is None or (formula := reduced_formula(dict(one.content))) in formulas:
                continue
            own = family(one.content)
            found[i] = self._reward(one, new=False) if alone[i] and own in families else alone[i]
            formulas.add(formula)
            families.add(own)
        return found

    def corrected(self, name: str, value: float, sigma: float) -> tuple[float, float]:
        """A foreseen value and its sigma, by what was seen of such values."""
        errors = np.array(self._errors[name])
        count = len(errors) + FIRST_SIGMA_COUNTS
        bias = errors.sum() / count
        squares = FIRST_SIGMA_COUNTS * (sigma**2 + bias**2) + ((errors - bias) ** 2).sum()
        return value + float(bias), float(np.sqrt(squares / count))

    def _alone(self, one: Foreseen) -> float:
        """What it would earn if none came before it."""
        if not self._hull_is_known(frozenset(one.content)):
            return 0.0
        return self._reward(one, self.judge.is_new(family(one.content), one.content))

    def _reward(self, one: Foreseen, new: bool) -> float:
        values = {name: self.corrected(name, *pair) for name, pair in one.values.items()}
        values["usable_capacity"] = self._usable(one.content)
        chances = {name: _chance(values, name, limits) for name, limits in self.judge.objectives.items()}
        near, low = _chance(values, HULL, NEAR), chances.pop(HULL, 1.0)
        others = float(np.prod(list(chances.values())))
        parts = {"near": near, "in_range": low * others, "new_family": near * new}
        return sum(PARTS[name].weight * chance for name, chance in parts.items()) + ALL * new * min(near, low) * others

    def _usable(self, content: Mapping[str, int]) -> tuple[float, float]:
        able, atoms = removable_ions(content, self.ion), sum(content.values())
        if able <= 0.0:
            return 0.0, 0.0
        cells, moved = removal_plan(able, atoms, 4 * atoms)
        leaving = Removal({symbol: n * cells for symbol, n in content.items()}, self.ion, moved)
        share, sigma = shipped_share()(leaving)
        return share * leaving.theory_mAh_g, sigma * leaving.theory_mAh_g

    def _full_phase(self, elements: frozenset[str]) -> bool:
        return self.judge.reference.coverage(sorted(elements)).n_full > 0


def _chance(values: Mapping[str, tuple[float, float]], name: str, limits: Range) -> float:
    """That a value lies within its limits; 1 where nothing is foreseen of it."""
    if name not in values:
        return 1.0
    value, sigma = values[name]
    low, high = (-inf if limits.min is None else limits.min), (inf if limits.max is None else limits.max)
    if sigma == 0.0:
        return float(low <= value <= high)
    return float(ndtr((high - value) / sigma) - ndtr((low - value) / sigma))


def likeliest_hits(
    best_of: int, objectives: Mapping[str, Range], ion: str, reference: ReferenceTable, before: Iterable[Crystal]
) -> Choice:
    """The best of so many draws is what is expected to earn most.

    Args:
        best_of: so many.
        objectives: of a campaign.
        ion: its working ion.
        reference: energies of the known phases.
        before: crystals whose formulas and families are not looked for any more.
    """
    expectation = Expectation(Judge(objectives, reference, Families(load_known_materials())), ion)
    expectation.came_before(before)
    return Choice(best_of, expectation.rewards, lambda crystal: expectation.came_before([crystal]))
