"""Floors that a network must beat: products of independent elements, mixtures of them, and exchange of one element."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from redoxa.data.errors import GenerationError
from redoxa.generators.base import Condition
from redoxa.generators.composition.family import Kind, LogProbability, collect
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand, formula_of
from redoxa.generators.composition.stored import load_arrays, save_arrays
from redoxa.generators.exchange.similarity import mendeleev_number

Floats = NDArray[np.float64]

ROUNDS = 40
"""Of expectation maximisation."""

PSEUDO = 0.5
"""Formulas' worth of belief that the count of an element in a component is as in all the data."""


_Index = dict[tuple[Formula, int], list[tuple[int, float]]]


class MixtureFamily:
    """The count of each element is drawn by itself, given a hidden component; what breaks the grammar is drawn again.

    Log probabilities are exact and given the grammar: the share of draws that keep it is computed, not estimated. With
    one component it is the model of independent elements. Conditions and given parts are conditioned on exactly.

    Args:
        grammar: of the formulas.
        components: hidden ones.
    """

    kind: ClassVar[Kind] = "exact"

    name = "mixture"

    def __init__(self, grammar: Grammar, components: int = 120) -> None:
        self.grammar, self.components = grammar, components
        self.weights: Floats = np.ones(components) / components
        self.chances: Floats = np.full(
            (components, len(grammar.elements), grammar.max_atoms + 1), 1 / (grammar.max_atoms + 1)
        )

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`: expectation maximisation of the likelihood without regard to the grammar."""
        counts = self.grammar.counts(formulas)
        shares = np.random.default_rng(seed).dirichlet(np.full(self.components, 0.1), len(counts))
        hits, prior = self._hits(counts), self._prior(counts)
        for _ in range(ROUNDS if self.components > 1 else 1):
            self._learn(hits, shares, prior)
            logs = self._logs(counts)
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        # As in the file, so that what was saved and what was learned are the same model.
        self.chances, self.weights = map(_as_in_file, (self.chances, self.weights))

    def save(self, path: Path) -> None:
        """Write what it has learned, in single precision."""
        arrays = {"weights": self.weights.astype(np.float32), "chances": self.chances.astype(np.float32)}
        save_arrays(path, self.name, self.grammar, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Inverse of `save`.

        Raises:
            data.errors.InputError: not a file of this model.
        """
        grammar, (weights, chances) = load_arrays(path, cls.name, ("weights", "chances"))
        family = cls(grammar)
        family.components = len(weights)
        family.weights, family.chances = weights.astype(np.float64), chances.astype(np.float64)
        return family

    def _hits(self, counts: NDArray[np.int64]) -> csr_matrix:
        """Which element has which count, zero left out [n,elements*counts]."""
        rows, elements = np.nonzero(counts)
        width = self.grammar.max_atoms + 1
        columns = elements * width + counts[rows, elements]
        return csr_matrix((np.ones(len(rows)), (rows, columns)), (len(counts), len(self.grammar.elements) * width))

    def _prior(self, counts: NDArray[np.int64]) -> Floats:
        """Chances of the counts in all the data [elements,counts]; a count that never occurs gets a little."""
        width = self.grammar.max_atoms + 1
        found = np.stack([np.bincount(column, minlength=width) for column in counts.T]).astype(float)
        common = (found.sum(0) + 1 / width) / (found.sum() + 1)
        return np.asarray((found + PSEUDO * common) / (len(counts) + PSEUDO))

    def _learn(self, hits: csr_matrix, shares: Floats, prior: Floats) -> None:
        """The step of maximisation."""
        sizes = shares.sum(0)
        found = np.asarray(hits.T @ shares).T.reshape(self.chances.shape)
        found[:, :, 0] = sizes[:, None] - found[:, :, 1:].sum(2)
        self.chances = (np.maximum(found, 0) + PSEUDO * prior) / (sizes + PSEUDO)[:, None, None]
        self.weights = (sizes + 1e-3) / (sizes + 1e-3).sum()

    def _logs(self, counts: NDArray[np.int64]) -> Floats:
        """Log probability of formula and component, without regard to the grammar [n,components]."""
        logs = np.log(self.chances)
        above_none = (logs - logs[:, :, :1]).reshape(self.components, -1)
        return np.asarray(self._hits(counts) @ above_none.T + logs[:, :, 0].sum(1) + np.log(self.weights))

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`."""
        within = float(self.weights @ self._grammatical())
        nats = logsumexp(self._logs(self.grammar.counts(formulas)), axis=1) - np.log(within)
        return LogProbability(np.asarray(nats), self.kind)

    def _grammatical(self) -> Floats:
        """Probability that a draw keeps the grammar [components]."""
        exactly: dict[int, Floats] = {}
        for divisor in range(self.grammar.max_atoms, 0, -1):
            multiples = range(2 * divisor, self.grammar.max_atoms + 1, divisor)
            exactly[divisor] = self._divisible(divisor) - sum(exactly[multiple] for multiple in multiples)
        return exactly[1]

    def _divisible(self, divisor: int) -> Floats:
        """Probability of so many elements and atoms as may be, and of counts that are all multiples [components]."""
        ways = np.zeros((self.components, self.grammar.slots + 1, self.grammar.max_atoms + 1))
        ways[:, 0, 0] = 1
        for chances in self.chances.transpose(1, 0, 2):
            following = ways * chances[:, :1, None]
            for count in range(divisor, self.grammar.max_atoms + 1, divisor):
                following[:, 1:, count:] += ways[:, :-1, :-count] * chances[:, count, None, None]
            ways = following
        return np.asarray(ways[:, 1:].sum((1, 2)))

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, None, given), rng)

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        """Counts that are asked for, of the components that have them."""
        sums = (self.chances * wish.counts).cumsum(2)
        logs = np.log(self.weights) + np.log(sums[:, :, -1]).sum(1)
        weights = np.exp(logs - logsumexp(logs))

        def draw(m: int) -> list[Formula]:
            component = rng.choice(self.components, m, p=weights / weights.sum())
            counts = np.zeros((m, len(self.grammar.elements)), np.int64)
            for k in np.unique(component):
                rows = component == k
                lots = rng.random((int(rows.sum()), counts.shape[1])) * sums[k, :, -1]
                counts[rows] = (lots[:, :, None] >= sums[k]).sum(2)
            return self.grammar.from_counts(counts)

        return collect(n, wish, draw)


def _as_in_file(numbers: Floats) -> Floats:
    """Single precision, and in the order of the file: that of a sum decides on its last digit."""
    return np.asarray(numbers.astype(np.float32, order="C").astype(np.float64))


class IndependentFamily(MixtureFamily):
    """Each element has its count by itself: a mixture of one component."""

    name = "independent"

    def __init__(self, grammar: Grammar) -> None:
        super().__init__(grammar, 1)


class ExchangeFamily:
    """A known formula in which one element, any, is exchanged for another one that it has not, rather for a like one.

    The chance falls with the distance of the Mendeleev numbers as exp(-d/2). Log probabilities are exact, and minus
    infinity for what no exchange in a known formula gives.

    Args:
        grammar: of the formulas.
    """

    kind: ClassVar[Kind] = "exact"

    name = "exchange"

    def __init__(self, grammar: Grammar) -> None:
        from ase.data import chemical_symbols

        self.grammar = grammar
        place = np.array([mendeleev_number(chemical_symbols[z]) for z in grammar.elements])
        self.likeness: Floats = np.exp(-np.abs(place[:, None] - place) / 2.0)
        np.fill_diagonal(self.likeness, 0.0)
        self.counts: NDArray[np.int64] = np.zeros((0, len(grammar.elements)), np.int64)
        self._index: _Index | None = None

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`: remembers them. One that holds every element of the grammar has nothing to exchange."""
        del seed
        counts = self.grammar.counts(formulas)
        self.counts = counts[(counts == 0).any(1)]
        self._index = None

    def save(self, path: Path) -> None:
        """Write the formulas that it knows."""
        known = self.grammar.encode(self.grammar.from_counts(self.counts))
        save_arrays(path, self.name, self.grammar, {"known": known.astype(np.uint8)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Inverse of `save`.

        Raises:
            data.errors.InputError: not a file of this model.
        """
        grammar, (known,) = load_arrays(path, cls.name, ("known",))
        family = cls(grammar)
        family.counts = grammar.counts(grammar.decode(known.astype(np.int64)))
        return family

    def _known(self) -> _Index:
        """What is left of known formulas, and the count of what is taken out -> (code - 1 of that, its chance)."""
        if self._index is not None:
            return self._index
        index: _Index = defaultdict(list)
        rows, taken, norms = self._moves()
        formulas = self.grammar.from_counts(self.counts)
        for row, element, norm in zip(rows.tolist(), taken.tolist(), norms.tolist(), strict=True):
            z = self.grammar.elements[element]
            rest = tuple(part for part in formulas[row] if part[0] != z)
            index[rest, int(self.counts[row, element])].append((element, norm))
        self._index = dict(index)
        return self._index

    def _moves(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Row of a known formula, element that is taken out, and by what its likeness to others becomes a chance."""
        rows, taken = np.nonzero(self.counts)
        present = (self.counts > 0)[rows]
        likeness = (self.likeness[taken] * ~present).sum(1)
        return rows, taken, 1 / (len(self.counts) * present.sum(1) * likeness)

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`."""
        self.grammar.encode(formulas)
        chances, known = np.zeros(len(formulas)), self._known()
        for i, formula in enumerate(formulas):
            for z, count in formula:
                rest = tuple(part for part in formula if part[0] != z)
                new = self.grammar.codes[z] - 1
                chances[i] += sum(norm * self.likeness[old, new] for old, norm in known.get((rest, count), ()))
        return LogProbability(np.log(chances, out=np.full(len(formulas), -np.inf), where=chances > 0), self.kind)

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, None, given), rng)

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        """Only exchanges after which every element has a count that it may have."""
        rows, taken, norms = self._moves()
        rest = self.counts[rows]
        count = rest[np.arange(len(rows)), taken]
        chances = self.likeness[taken] * (rest == 0) * norms[:, None]
        rest[np.arange(len(rows)), taken] = 0
        wrong = ~wish.counts[np.arange(rest.shape[1]), rest]
        chances *= wish.counts[:, count].T & (wrong.sum(1, keepdims=True) == wrong)  # what is put in may right one
        by_move = chances.sum(1)
        if not by_move.any():
            raise GenerationError("no exchange of one element in a known formula gives what is asked for")

        def draw(m: int) -> list[Formula]:
            moves = rng.choice(len(by_move), m, p=by_move / by_move.sum())
            sums = chances[moves].cumsum(1)
            new = (rng.random((m, 1)) * sums[:, -1:] >= sums).sum(1)
            changed = rest[moves]
            changed[np.arange(m), new] = count[moves]
            return [formula_of(dict(formula)) for formula in self.grammar.from_counts(changed)]

        return collect(n, wish, draw)
