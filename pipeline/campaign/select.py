"""Choosing the batch for the laboratory: Pareto front, probability of meeting every range, chemical diversity."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from redoxa.data.fingerprint import SAME, distance, fingerprint
from redoxa.data.records import Estimate, ScreeningResult, Verdict
from redoxa.generators.evaluate.families import family as family_of
from redoxa.pipeline.campaign.feedback import Calibration, calibrated
from redoxa.pipeline.campaign.spec import Select
from redoxa.screening.doubts import doubts
from redoxa.screening.settings import Range

DOUBTED = 0.5
"""What the chance of a candidate in doubt is multiplied by for its place; a declared penalty, not a measured one."""


@dataclass(frozen=True)
class Scored:
    """A passing candidate, judged against the objectives.

    Attributes:
        result: its screening result.
        values: calibrated estimates of the objectives.
        probability: chance that all objectives lie in their ranges, taken as independent normals.
        front: 1 for the Pareto front, 2 for the front once that is taken away, and so on.
    """

    result: ScreeningResult
    values: dict[str, Estimate]
    probability: float
    front: int


@dataclass(frozen=True)
class Choice:
    """A scored candidate that goes to the laboratory, and the sentence that says why."""

    scored: Scored
    rank: int
    why: str


def probability_within(estimate: Estimate, limits: Range) -> float:
    """Chance that a normal variable of this mean and sigma lies within the range."""

    def below(limit: float) -> float:
        if estimate.sigma == 0:
            return float(estimate.value <= limit)
        return 0.5 * (1 + math.erf((limit - estimate.value) / (estimate.sigma * math.sqrt(2))))

    upper = below(limits.max) if limits.max is not None else 1.0
    lower = below(limits.min) if limits.min is not None else 0.0
    if estimate.sigma == 0 and limits.min == estimate.value:
        lower = 0.0
    return max(0.0, upper - lower)


def pareto_fronts(utilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Front number of each row, 1 being non-dominated; every column is to be maximised; equal rows share a front.

    Args:
        utilities: [n, objectives], finite.
    """
    fronts = np.zeros(len(utilities), dtype=np.int64)
    left = np.arange(len(utilities))
    number = 0
    while len(left):
        number += 1
        rows = utilities[left]
        at_least = (rows[:, None, :] >= rows[None, :, :]).all(axis=2)
        better = (rows[:, None, :] > rows[None, :, :]).any(axis=2)
        dominated = (at_least & better).any(axis=0)
        fronts[left[~dominated]] = number
        left = left[dominated]
    return fronts


def score(
    results: Sequence[ScreeningResult],
    objectives: Mapping[str, Range],
    calibration: Mapping[str, Calibration] | None = None,
) -> list[Scored]:
    """Judge the passing results that hold every objective; order of the input is kept.

    A range with both ends is served by the probability of lying in it, one with a single end by the value itself.
    """
    usable = [r for r in results if r.verdict is Verdict.PASS and all(name in r.estimates for name in objectives)]
    if not usable:
        return []
    values = [{n: calibrated(r.estimates[n], (calibration or {}).get(n)) for n in objectives} for r in usable]
    utilities = np.array([[_utility(v[n], limits) for n, limits in objectives.items()] for v in values])
    fronts = pareto_fronts(utilities)
    chances = [math.prod(probability_within(v[n], limits) for n, limits in objectives.items()) for v in values]
    return [Scored(r, v, p, int(f)) for r, v, p, f in zip(usable, values, chances, fronts, strict=True)]


def _utility(estimate: Estimate, limits: Range) -> float:
    if limits.min is not None and limits.max is not None:
        utility = probability_within(estimate, limits)
    else:
        utility = estimate.value if limits.min is not None else -estimate.value
    return float(f"{utility:.9g}")  # the last bits, which differ between processors, dominate nothing


def choose(scored: Sequence[Scored], config: Select, before: Sequence[ScreeningResult] = ()) -> list[Choice]:
    """The batch: by front, then by probability, which doubts halve; at most `max_per_chemical_system` a system.

    On each front, one candidate of a family comes before the second of any: those that differ by their transition
    metals alone are much the same experiment. Candidates that relaxed into the same crystal as a better one, or as one
    of an earlier round, are passed over.

    Args:
        scored: from `score`, without candidates that were chosen in earlier rounds.
        config: the `select` section.
        before: what earlier rounds chose; among equals, systems without any of these come first.
    """
    taken = {chemical_system(result) for result in before}
    order = sorted(
        (s for s in scored if s.probability >= config.min_probability),
        key=lambda s: (
            s.front,
            chemical_system(s.result) in taken,
            -round(s.probability * (DOUBTED if doubts(s.result) else 1), 9),
            s.result.candidate_id,
        ),
    )
    systems: Counter[str] = Counter()
    families = {metals_exchanged(result) for result in before}
    chosen: list[Choice] = []
    for _, front in groupby(order, key=lambda s: s.front):
        left = list(front)
        for second in (False, True):
            for item in tuple(left):
                system, family = chemical_system(item.result), metals_exchanged(item.result)
                if (family in families and not second) or systems[system] >= config.max_per_chemical_system:
                    continue
                others = (*before, *(c.scored.result for c in chosen))
                if len(chosen) == config.batch_size or any(_same_crystal(item.result, other) for other in others):
                    continue
                left.remove(item)
                systems[system] += 1
                why = _sentence(item, system, systems[system], family if family in families else "")
                families.add(family)
                chosen.append(Choice(item, len(chosen) + 1, why))
    return chosen


def metals_exchanged(result: ScreeningResult) -> str:
    """The family of a result: its reduced formula with every transition metal written M, e.g. ``Li1M1O2``."""
    from pymatgen.core import Composition

    return family_of({str(e): int(n) for e, n in Composition(result.formula).items()})


def _same_crystal(a: ScreeningResult, b: ScreeningResult) -> bool:
    """Whether two candidates relaxed into one crystal."""
    if a.formula != b.formula or "discharged" not in a.crystals or "discharged" not in b.crystals:
        return False
    return distance(fingerprint(a.crystals["discharged"]), fingerprint(b.crystals["discharged"])) <= SAME


def chemical_system(result: ScreeningResult) -> str:
    """Elements of a result in alphabetical order, e.g. ``Fe-Li-O-P``."""
    from pymatgen.core import Composition

    return "-".join(sorted(str(e) for e in Composition(result.formula).elements))


def _sentence(item: Scored, system: str, nth: int, family: str) -> str:
    """Why a candidate was chosen; `family` where another one of it was chosen before."""
    facts = ", ".join(f"{_words(name)} {e.text} {e.unit}" for name, e in item.values.items())
    place = "On the Pareto front" if item.front == 1 else f"On front {item.front}, after better ones"
    chance = ">99 %" if item.probability > 0.99 else f"{100 * item.probability:.0f} %"
    which = "the best of" if nth == 1 else f"number {nth} of"
    found = "; ".join(r.text for r in doubts(item.result))
    mind = f" In doubt, which halves its chance in the ranking: {found}." if found else ""
    another = f" Another of the family {family} (M any transition metal) was chosen before it." if family else ""
    return (
        f"{place}: {facts}. It has a {chance} chance of meeting every objective and is {which} the {system} system."
        f"{another}{mind}"
    )


def why_not(
    result: ScreeningResult, scored: Scored | None, config: Select, objectives: Iterable[str], chosen: Counter[str]
) -> str:
    """Why a candidate that passed was not chosen.

    Args:
        result: of the candidate.
        scored: its place among the others; None where a number is missing.
        config: the `select` section.
        objectives: names of what is aimed at.
        chosen: candidates that were chosen, by chemical system.
    """
    if scored is None:
        missing = ", ".join(_words(name) for name in objectives if name not in result.estimates)
        return f"Nothing is known of its {missing}, which the objectives name."
    chance = f"{100 * scored.probability:.0f} %"
    if scored.probability < config.min_probability:
        return (
            f"Its chance of meeting every objective, {chance}, is below the {100 * config.min_probability:.0f} % that "
            "select.min_probability asks for."
        )
    text = (
        f"It lies on front {scored.front} with a {chance} chance of meeting every objective; the {config.batch_size} "
        "places of a round went to earlier fronts or to better chances (what is in doubt counts half)."
    )
    system = chemical_system(result)
    if chosen[system] >= config.max_per_chemical_system:
        text += (
            f" {chosen[system]} of the {system} system were chosen, and a round takes {config.max_per_chemical_system}."
        )
    return text


def _words(name: str) -> str:
    return {
        "average_voltage": "voltage",
        "capacity_grav": "capacity",
        "capacity_vol": "capacity",
        "energy_grav": "energy",
        "energy_vol": "energy",
        "max_delta_volume": "volume change",
        "stability_discharge": "above the hull (discharged)",
        "stability_charge": "above the hull (charged)",
    }.get(name, name.replace("_", " "))
