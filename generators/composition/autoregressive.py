"""Models that write a formula slot by slot, under masks; and the simplest of them, a hidden Markov model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from redoxa.generators.base import Condition
from redoxa.generators.composition.family import Kind, LogProbability, collect
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand
from redoxa.generators.composition.masks import Masks
from redoxa.generators.composition.stored import load_arrays, save_arrays

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Foresight(Protocol):
    """What a model expects in the next slot of n formulas."""

    def elements(self) -> Floats:
        """Log weights by code, 0 for the end [n,elements+1]."""
        ...

    def atoms(self, element: Integers) -> Floats:
        """Log weights of the counts of these elements [n] (that of 0 means nothing) [n,max_atoms+1]."""
        ...


class Autoregressive(ABC):
    """A `Family` by what it expects in the next slot.

    Its probabilities are those under the masks of the grammar, renormalised in each slot: exact, and of what is sampled
    without a condition, at the temperature too. Under a condition the masks are narrower. They alone would write
    whatever comes first as if nothing were asked for, and then force the rest (caesium, say, before a given lithium).
    So many formulas are written side by side, and in each slot those go on that leave more probability to what is asked
    for (sequential Monte Carlo). The more are written, the nearer the samples come to the conditional distribution;
    they are not quite independent of one another. Neutrality alone is by rejection.

    Attributes:
        temperature: log weights are divided by it; below 1 the likely becomes likelier.
    """

    kind: ClassVar[Kind] = "exact"

    name: str
    grammar: Grammar
    temperature: float = 1.0

    @abstractmethod
    def foresee(self, slots: Integers, noise: Floats) -> Foresight:
        """What comes after these slots [n,t,2], t from 0 to `grammar.slots` - 1, in formulas of this noise [n,d]."""

    def noise(self, n: int, rng: np.random.Generator) -> Floats:
        """What else, beside the slots before it, decides what comes in a slot; nothing, for most models [n,d]."""
        del rng
        return np.zeros((n, 0))

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`."""
        return LogProbability(self.log_given(formulas, np.zeros((len(formulas), 0))), "exact")

    def log_given(self, formulas: Sequence[Formula], noise: Floats) -> Floats:
        """Log probability of formulas of this noise, in nats [n].

        Raises:
            data.errors.InputError: a formula outside the grammar.
        """
        slots, masks = self.grammar.encode(formulas), Masks(demand(self.grammar))
        nats, place, n = np.zeros(len(slots)), masks.start(len(slots)), np.arange(len(slots))
        for t in range(self.grammar.slots):
            foresight = self.foresee(slots[:, :t], noise)
            element, count = slots[:, t].T
            nats += self._masked(foresight.elements(), masks.elements(place))[n, element]
            nats += self._masked(foresight.atoms(element), masks.atoms(place, element))[n, count]
            place = masks.advance(place, element, count)
        return nats

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, None, given), rng)

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        masks = Masks(wish)
        whole = Masks(demand(self.grammar)) if wish.narrows else masks
        least = PARTICLES if wish.narrows else 0
        return collect(n, wish, lambda m: self.grammar.decode(self._write(max(m, least), masks, whole, rng)[:m]))

    def _write(self, n: int, masks: Masks, whole: Masks, rng: np.random.Generator) -> Integers:
        """Slots of n formulas [n,slots,2].

        Args:
            n: how many are written side by side.
            masks: what may come.
            whole: what may come where nothing is asked for; the same ones where nothing is.
            rng: the only source of randomness.
        """
        slots, place, noise = np.zeros((n, self.grammar.slots, 2), np.int64), masks.start(n), self.noise(n, rng)
        for t in range(self.grammar.slots):
            foresight, free = self.foresee(slots[:, :t], noise), place.free()
            may = masks.elements(place)
            element, left = self._next(foresight.elements(), may, may if whole is masks else whole.elements(free), rng)
            may = masks.atoms(place, element)
            at_large = may if whole is masks else whole.atoms(free, element)
            count, of_counts = self._next(foresight.atoms(element), may, at_large, rng)
            slots[:, t, 0], slots[:, t, 1] = element, count
            place = masks.advance(place, element, count)
            if whole is not masks:
                rows = _survivors(left + of_counts, rng)
                slots, place, noise = slots[rows], place.take(rows), noise[rows]
        return slots if whole is masks else slots[rng.permutation(n)]

    def _next(
        self, logs: Floats, may: NDArray[np.bool_], at_large: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Integers, Floats]:
        """What comes next, and the log probability that the model leaves to all that may come [n]."""
        kept = np.where(may, self._masked(logs, at_large), -np.inf)
        left = np.asarray(logsumexp(kept, axis=1))
        return _drawn(kept - left[:, None], rng), left

    def _masked(self, logs: Floats, may: NDArray[np.bool_]) -> Floats:
        """Log probabilities of what may be."""
        return np.asarray(log_softmax(np.where(may, logs / self.temperature, -np.inf), axis=1))


PARTICLES = 2048
"""Formulas that are written side by side under a condition, at least."""


def _survivors(log_weights: Floats, rng: np.random.Generator) -> Integers:
    """Rows drawn by their weights, each as often as it should be, give or take one (systematic resampling)."""
    sums = np.exp(log_weights - log_weights.max()).cumsum()
    places = (rng.random() + np.arange(len(sums))) / len(sums) * sums[-1]
    return np.asarray(np.minimum(np.searchsorted(sums, places, side="right"), len(sums) - 1), np.int64)


def _drawn(logs: Floats, rng: np.random.Generator) -> Integers:
    """One of each row, by its log probabilities [n]."""
    sums = np.exp(logs).cumsum(1)
    return np.asarray((rng.random((len(logs), 1)) * sums[:, -1:] >= sums).sum(1), np.int64)


ROUNDS = 40
"""Of expectation maximisation."""

TABLES = ("first", "change", "writes", "counts")
"""What a hidden Markov model has learned, by its attributes."""

PSEUDO = 0.1
"""Slots' worth of belief that a state writes what all the data hold."""


class MarkovFamily(Autoregressive):
    """A hidden state writes an element and its count, or the end, and gives way to the next.

    It learns without regard to the grammar (Baum and Welch), to a local optimum; the masks come in when it is asked.

    Args:
        grammar: of the formulas.
        states: hidden ones.
    """

    name = "hidden Markov"

    def __init__(self, grammar: Grammar, states: int = 32) -> None:
        self.grammar, self.states = grammar, states
        self.first: Floats = np.ones(states) / states
        self.change: Floats = np.ones((states, states)) / states
        self.writes: Floats = np.ones((states, len(grammar.elements) + 1)) / (len(grammar.elements) + 1)
        self.counts: Floats = np.ones((states, grammar.max_atoms + 1)) / (grammar.max_atoms + 1)

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`."""
        slots = self.grammar.encode(formulas)
        rng = np.random.default_rng(seed)
        self.first = rng.dirichlet(np.ones(self.states))
        self.change = rng.dirichlet(np.ones(self.states), self.states)
        written = (slots[:, :, 0] > 0) | (np.cumsum(slots[:, :, 0] == 0, axis=1) == 1)  # the elements and one end
        prior = [_frequencies(slots[:, :, i][written], width) for i, width in enumerate(self._widths())]
        noise = [rng.dirichlet(np.ones(width), self.states) for width in self._widths()]
        self.writes, self.counts = ((p + z) / 2 for p, z in zip(prior, noise, strict=True))
        for _ in range(ROUNDS):
            self._learn(slots, written, prior)

    def save(self, path: Path) -> None:
        """Write its tables."""
        save_arrays(path, "hmm", self.grammar, {name: getattr(self, name) for name in TABLES})

    @classmethod
    def load(cls, path: Path) -> MarkovFamily:
        """Inverse of `save`.

        Raises:
            data.errors.InputError: not a file of this model.
        """
        grammar, (first, change, writes, counts) = load_arrays(path, "hmm", TABLES)
        family = cls(grammar, len(first))
        family.first, family.change, family.writes, family.counts = first, change, writes, counts
        return family

    def _widths(self) -> tuple[int, int]:
        return len(self.grammar.elements) + 1, self.grammar.max_atoms + 1

    def _emission(self, slot: Integers) -> Floats:
        """Probability of what stands in a slot [n,2], by state [n,states]; the count of the end means nothing."""
        element, count = slot.T
        counts = np.where(element[:, None] == 0, 1.0, self.counts.T[count])
        return np.asarray(self.writes.T[element] * counts)

    def _learn(self, slots: Integers, written: NDArray[np.bool_], prior: list[Floats]) -> None:
        """One round: expected visits of the states, and what they write there."""
        length = slots.shape[1]
        emission = [np.where(written[:, t, None], self._emission(slots[:, t]), 1.0) for t in range(length)]
        before = [self.first * np.ones((len(slots), 1))]
        for t in range(1, length):
            belief = _normal(before[-1] * emission[t - 1])
            before.append(belief @ self.change)
        after = np.ones_like(before[0])
        change = np.full_like(self.change, PSEUDO / self.states)
        writes, counts = ([PSEUDO * p * np.ones((self.states, 1))] for p in prior)
        for t in reversed(range(length)):
            visits = _normal(before[t] * emission[t] * after) * written[:, t, None]
            writes.append(_sums(slots[:, t, 0], visits, self._widths()[0]))
            counts.append(_sums(slots[:, t, 1], visits * (slots[:, t, :1] > 0), self._widths()[1]))
            if t == 0:
                self.first = visits.mean(0)
                break
            later = emission[t] * after
            belief = _normal(before[t - 1] * emission[t - 1])
            weight = written[:, t] / np.maximum((before[t] * later).sum(1), 1e-300)
            change += self.change * ((belief * weight[:, None]).T @ later)
            after = _normal(later @ self.change.T)
        self.change, self.writes, self.counts = (
            _normal(change),
            _normal(np.sum(writes, axis=0)),
            _normal(np.sum(counts, axis=0)),
        )

    def foresee(self, slots: Integers, noise: Floats) -> Foresight:
        """See `Autoregressive`."""
        del noise
        belief = self.first * np.ones((len(slots), 1))
        for t in range(slots.shape[1]):
            belief = _normal(belief * self._emission(slots[:, t]) + 1e-300) @ self.change
        return _Expected(belief, self.writes, self.counts)


class _Expected:
    """What hidden states, believed in with these chances, write."""

    def __init__(self, belief: Floats, writes: Floats, counts: Floats) -> None:
        self.belief, self.writes, self.counts = belief, writes, counts

    def elements(self) -> Floats:
        return np.asarray(np.log(self.belief @ self.writes + 1e-300))

    def atoms(self, element: Integers) -> Floats:
        belief = self.belief * self.writes.T[element] + 1e-300
        return np.asarray(np.log(_normal(belief) @ self.counts + 1e-300))


def _normal(weights: Floats) -> Floats:
    """Rows that add up to 1."""
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _frequencies(values: Integers, width: int) -> Floats:
    """How often each value occurs, none never."""
    found = np.bincount(values, minlength=width) + 0.1
    return np.asarray(found / found.sum())


def _sums(values: Integers, weights: Floats, width: int) -> Floats:
    """Weights by state [n,states], added up by value [states,width]."""
    one_hot = np.zeros((len(values), width))
    one_hot[np.arange(len(values)), values] = 1
    return np.asarray(weights.T @ one_hot)
