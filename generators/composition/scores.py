"""How good a model of formulas is: one row of numbers, the same for every model and for the data themselves.

Formulas are compared as ten numbers each: mean and spread over the atoms of electronegativity, covalent radius, period
and Mendeleev number, how many elements there are, and the share of the commonest, in units of their spread in the
held-out formulas.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from redoxa.data.errors import InputError
from redoxa.generators.base import Condition
from redoxa.generators.composition.family import Family, Kind
from redoxa.generators.composition.grammar import Formula, is_neutral
from redoxa.generators.evaluate.descriptor import element_numbers
from redoxa.generators.evaluate.distances import frechet
from redoxa.generators.evaluate.elements import ElementBias, ElementRatio, element_bias, element_ratios, presence
from redoxa.generators.evaluate.families import family as family_of
from redoxa.generators.evaluate.neighbours import cover
from redoxa.generators.evaluate.values import Value, share, wilson
from redoxa.generators.evaluate.vendi import vendi_values

Floats = NDArray[np.float64]

CLOUD = 1000
"""Formulas of either side, at most, of which neighbours and kernels are computed, all pairs being needed."""

ANY = Condition(n_atoms=(1, 10**6))
"""What is sampled: anything of the grammar."""


@dataclass(frozen=True)
class Likelihood:
    """How surprised a model is by the held-out formulas.

    Attributes:
        kind: how it is known; of a bound the true nats may be fewer.
        nats: mean of -ln p by formula; None where it is infinite, as the model never writes some of them.
        error_nats: standard error of the mean; None where there is none.
        nats_of_reached: mean over those alone that the model can write; None where there are none.
        reached: share of them that it can write.
        cpu_s: processor time of all of them.
    """

    kind: Kind
    nats: float | None
    error_nats: float | None
    nats_of_reached: float | None
    reached: Value
    cpu_s: float


@dataclass(frozen=True)
class Portrait:
    """What is drawn of a row.

    Attributes:
        places: of some of its formulas in the plane of the held-out ones [m,2].
        presence: symbol of an element -> share of its formulas that hold it.
        ratios: symbol -> that over the share of learned and held-out formulas together, with its interval.
    """

    places: tuple[tuple[float, float], ...]
    presence: Mapping[str, float]
    ratios: Mapping[str, ElementRatio]


@dataclass(frozen=True)
class FormulaScore:
    """A model of formulas, or data, in numbers. Shares lie between 0 and 1 and have 95 % intervals.

    Attributes:
        samples: formulas that were judged, equal ones among them.
        distinct: different formulas among them.
        found: how many of the held-out formulas are among them.
        hits: share of the different formulas that were not learned which are held-out ones.
        memorised: share of samples that are learned formulas.
        novel: share of samples that are not.
        novel_family: share of samples of which no learned formula has the family, transition metals taken as one.
        neutral: share of samples that common oxidation states balance; alloys are not.
        frechet: distance to the held-out formulas taken as Gaussians, in squared spreads.
        cover: precision, recall, density, coverage by the five nearest neighbours; empty below six formulas.
        vendi: how many different formulas the samples amount to, by as many of either side; None below four.
        vendi_ratio: that over the same of held-out formulas.
        cloud: samples that neighbours are of; Vendi scores are of no more than there are held-out formulas.
        entropy_bits: of how often elements occur, each once by formula.
        elements: different elements that occur.
        missing: symbols of elements that learned formulas hold and no sample does.
        commonest: share of samples that are the commonest formula.
        bias: elements that surely occur too often and too seldom, beside learned and held-out formulas together.
        likelihood: of the held-out formulas; None of data.
        sample_cpu_s_per_1000: processor time of sampling; None of data.
        portrait: to draw.
    """

    samples: int
    distinct: int
    found: int
    hits: Value
    memorised: Value
    novel: Value
    novel_family: Value
    neutral: Value
    frechet: float
    cover: Mapping[str, Value]
    vendi: Value | None
    vendi_ratio: Value | None
    cloud: int
    entropy_bits: float
    elements: int
    missing: tuple[str, ...]
    commonest: Value
    bias: ElementBias
    likelihood: Likelihood | None
    sample_cpu_s_per_1000: float | None
    portrait: Portrait


class Judge:
    """Judges models by the same formulas.

    Args:
        learned: what the models have learned.
        held_out: what they have not.
        seed: of sampling and of every draw.

    Raises:
        InputError: there are no formulas on a side, or one stands on both.
    """

    def __init__(self, learned: Sequence[Formula], held_out: Sequence[Formula], seed: int = 0) -> None:
        self.learned, self.held_out, self.seed = tuple(learned), tuple(held_out), seed
        self._learned, self._held_out = frozenset(learned), frozenset(held_out)
        if not learned or len(self._held_out) < 2:
            raise InputError(f"{len(learned)} formulas to learn and {len(held_out)} held out: too few to judge by")
        if self._learned & self._held_out:
            raise InputError("some formulas are learned and held out as well; what is held out must never be learned")
        self._families = {_family(formula) for formula in self._learned}
        self._data = presence([_elements(f) for f in (*self.learned, *self.held_out)])
        spread = formula_numbers(self.held_out).std(0)
        self._spread = np.where(spread > 1e-9, spread, 1.0)

    def judge(self, family: Family, n: int) -> FormulaScore:
        """A model that has learned, by n samples.

        Raises:
            data.errors.RedoxaError: it cannot sample or tell probabilities.
        """
        rng = np.random.default_rng(self.seed)
        family.sample(1, ANY, np.random.default_rng(0))  # pays for lazy imports
        start = time.process_time()
        samples = family.sample(n, ANY, rng)
        cpu_s = time.process_time() - start
        return self.score(samples, self.likelihood(family), 1000 * cpu_s / n)

    def likelihood(self, family: Family) -> Likelihood:
        """Of the held-out formulas; those outside the model's grammar it never writes.

        Raises:
            data.errors.RedoxaError: the model cannot tell.
        """
        inside = [formula for formula in self.held_out if family.grammar.holds(formula)]
        start = time.process_time()
        told = family.log_probability(inside)
        cpu_s = time.process_time() - start
        nats = -told.nats
        known = nats[np.isfinite(nats)]
        reached = share([True] * len(known) + [False] * (len(self.held_out) - len(known)))
        whole = len(known) == len(self.held_out)
        middle = float(known.mean()) if len(known) else None
        error = float(known.std(ddof=1) / math.sqrt(len(known))) if whole else None
        return Likelihood(told.kind, middle if whole else None, error, middle, reached, cpu_s)

    def score(
        self,
        samples: Sequence[Formula],
        likelihood: Likelihood | None = None,
        sample_cpu_s_per_1000: float | None = None,
    ) -> FormulaScore:
        """Formulas from anywhere, equal ones each counting.

        Raises:
            InputError: fewer than two.
        """
        if len(samples) < 2:
            raise InputError(f"{len(samples)} formulas: too few to judge")
        tally = Counter(samples)
        new = tally.keys() - self._learned
        held = presence([_elements(formula) for formula in samples])
        cloud, real = self._cloud(samples), self._real
        diversity = vendi_values(cloud, real, self.seed)
        seen = {chemical_symbols[z] for z in np.flatnonzero(held.any(0))}
        return FormulaScore(
            samples=len(samples),
            distinct=len(tally),
            found=len(new & self._held_out),
            hits=share(formula in self._held_out for formula in new),
            memorised=_share(tally, self._learned.__contains__),
            novel=_share(tally, lambda formula: formula not in self._learned),
            novel_family=_share(tally, lambda formula: _family(formula) not in self._families),
            neutral=_share(tally, is_neutral),
            frechet=frechet(self._scaled(samples), self._scaled(self.held_out)),
            cover=cover(cloud, real),
            vendi=diversity.get("vendi"),
            vendi_ratio=diversity.get("vendi_ratio"),
            cloud=len(cloud),
            entropy_bits=_entropy_bits(held),
            elements=len(seen),
            missing=tuple(sorted(self._symbols - seen)),
            commonest=_share(tally, tally.most_common(1)[0][0].__eq__),
            bias=element_bias(held, self._data),
            likelihood=likelihood,
            sample_cpu_s_per_1000=sample_cpu_s_per_1000,
            portrait=Portrait(
                self._places(cloud), _shares(held), {one.symbol: one for one in element_ratios(held, self._data)}
            ),
        )

    @cached_property
    def data_presence(self) -> dict[str, float]:
        """Symbol of an element -> share of all formulas, learned and held-out ones, that hold it."""
        return _shares(self._data)

    @cached_property
    def ground(self) -> tuple[tuple[float, float], ...]:
        """Held-out formulas in their plane."""
        return self._places(self._real)

    @cached_property
    def plane_share(self) -> float:
        """Share of the variance of the held-out formulas that their plane shows."""
        return float((self._axes[1][:2] ** 2).sum() / max((self._axes[1] ** 2).sum(), 1e-300))

    @cached_property
    def _symbols(self) -> set[str]:
        return {chemical_symbols[z] for formula in self.learned for z, _ in formula}

    @cached_property
    def _real(self) -> Floats:
        return self._cloud(self.held_out)

    @cached_property
    def _axes(self) -> tuple[Floats, Floats]:
        """Principal axes of the held-out formulas [k,10] and their singular values, the largest first."""
        whole = self._scaled(self.held_out)
        _, sizes, axes = np.linalg.svd(whole - whole.mean(0), full_matrices=False)
        signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])  # else they are the library's whim
        return axes * signs[:, None], sizes

    def _scaled(self, formulas: Sequence[Formula]) -> Floats:
        return np.asarray(formula_numbers(formulas) / self._spread)

    def _cloud(self, formulas: Sequence[Formula]) -> Floats:
        """At most `CLOUD` of the formulas, drawn by the seed, as numbers."""
        if len(formulas) > CLOUD:
            drawn = np.random.default_rng(self.seed).choice(len(formulas), CLOUD, replace=False)
            formulas = [formulas[i] for i in drawn.tolist()]
        return self._scaled(formulas)

    def _places(self, cloud: Floats) -> tuple[tuple[float, float], ...]:
        flat = (cloud - self._scaled(self.held_out).mean(0)) @ self._axes[0][:2].T
        rows = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
        return tuple((x, y) for x, y in rows.tolist())


def formula_numbers(formulas: Sequence[Formula]) -> Floats:
    """Ten numbers of each formula [n,10], unscaled."""
    rows = []
    for formula in formulas:
        weights = np.array([n for _, n in formula], float) / sum(n for _, n in formula)
        table = np.array([element_numbers(z) for z, _ in formula])
        means = weights @ table
        spreads = np.sqrt(np.maximum(weights @ table**2 - means**2, 0.0))
        rows.append([*means, *spreads, len(formula), weights.max()])
    return np.array(rows)


def _share(tally: Counter[Formula], hit: Callable[[Formula], bool]) -> Value:
    """Share of samples, each asked once by formula."""
    return _of(sum(times for formula, times in tally.items() if hit(formula)), tally.total())


def _of(count: int, of: int) -> Value:
    return Value(count / of, of, *wilson(count, of))


def _shares(held: Floats) -> dict[str, float]:
    return {chemical_symbols[z]: float(part) for z, part in enumerate(held.mean(0)) if part > 0}


def _entropy_bits(held: Floats) -> float:
    parts = held.sum(0) / held.sum()
    parts = parts[parts > 0]
    return abs(float(parts @ np.log2(parts)))


def _elements(formula: Formula) -> frozenset[int]:
    return frozenset(z for z, _ in formula)


def _family(formula: Formula) -> str:
    return family_of({chemical_symbols[z]: n for z, n in formula})


def spread_over_seeds(numbers: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of a number over seeds; 0 for one seed."""
    return float(np.mean(numbers)), float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
