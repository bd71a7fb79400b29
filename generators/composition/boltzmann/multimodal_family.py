"""Formulas and modalities of a deep Boltzmann machine: whatever is given, the rest is told or drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.tables.materials import VOLTAGE, Modality
from redoxa.generators.base import Condition
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.family import RbmFamily
from redoxa.generators.composition.boltzmann.multimodal import Dbm, DbmConfig, load_dbm, save_dbm
from redoxa.generators.composition.boltzmann.multimodal_training import DbmTask, Materials
from redoxa.generators.composition.boltzmann.network import RbmConfig
from redoxa.generators.composition.boltzmann.training import THOROUGH
from redoxa.generators.composition.family import Kind, LogProbability, collect
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand
from redoxa.generators.composition.trained import TrainedFamily
from redoxa.generators.electrode import working_ion
from redoxa.generators.training.loop import Task, TrainConfig

Known = Mapping[str, Collection[int]]
"""Modalities by name, and in which bins they may be (`Modality.between`, `Modality.kind`)."""


SCREENED_V = (0.590, 0.902)
"""A voltage by the potential that screens, from that of the table learned from (UMA-m): this and so many times it. Of
120 formulas that have both (`python -m benchmarks.modalities --voltages`); it errs by 0.51 V."""


class DbmFamily(TrainedFamily[Dbm, DbmConfig]):
    """A `Family` whose formulas are those of a machine on formulas, and which tells modalities of them.

    With modalities given, formulas are drawn and kept by the probability of these: so what comes has exactly the
    distribution p(v | given), as far as mean field tells it.

    Args:
        grammar: of the formulas.
        config: size of the machine on modalities.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
        lower: size of the machine on formulas, which `fit` trains first.
        anneal: how its partition function is estimated in the end.
    """

    kind: ClassVar[Kind] = "AIS"
    aims: ClassVar[frozenset[str]] = frozenset({"average_voltage"})

    name = "dbm"

    def __init__(
        self,
        grammar: Grammar,
        config: DbmConfig,
        training: TrainConfig | None,
        lower: RbmConfig | None = None,
        anneal: Anneal = THOROUGH,
    ) -> None:
        super().__init__(grammar, config, training)
        self.lower, self.anneal = lower or RbmConfig(), anneal

    read, write = staticmethod(load_dbm), staticmethod(save_dbm)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it knows beside formulas.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        return self.learned().modalities

    def task(self, formulas: Sequence[Formula], seed: int) -> Callable[[], Task[Any]]:
        """See `TrainedFamily`: of these, nothing else is known."""
        return self._task(Materials.plain(formulas), (), seed)

    def fit_materials(self, materials: Materials, modalities: Sequence[Modality], seed: int) -> None:
        """Learn from formulas and what is known of them; errors as of `fit`."""
        self.network = self.read(self.trained(self._task(materials, modalities, seed), seed))

    def _task(self, materials: Materials, modalities: Sequence[Modality], seed: int) -> Callable[[], Task[Any]]:
        training = self.training and replace(self.training, out=self.training.out / "lower")
        first = RbmFamily(self.grammar, self.lower, training, self.anneal)
        first.fit(materials.formulas, seed)
        nothing = Materials.plain((), len(modalities))
        return partial(DbmTask, first.learned(), tuple(modalities), materials, nothing, self.config)

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`: of the formulas alone."""
        return self._formulas().log_probability(formulas)

    @torch.no_grad()
    def tell(self, name: str, materials: Materials) -> NDArray[np.float64]:
        """Probabilities of the bins of a modality [n,bins of it], given the formulas and what else is known of them.

        What is known of the modality itself is not looked at.

        Raises:
            data.errors.InputError: no such modality, or a formula outside the grammar.
        """
        network, k = self.learned(), self._place(name)
        bins = torch.from_numpy(materials.bins.copy())
        bins[:, k] = -1
        reading = network.read(torch.from_numpy(self.grammar.encode(materials.formulas)))
        return np.asarray(network.tell(k, reading, network.settle(reading, bins)).double().exp().numpy())

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, known: Known | None = None
    ) -> list[Formula]:
        """See `Family`; modalities may be given, by name or as targets of the condition.

        Raises:
            GenerationError: the condition cannot be met, or is not met by chance.
            data.errors.InputError: no such modality, or no bin of it is allowed.
        """
        return self._draw(n, demand(self.grammar, condition), rng, {**self.aimed(condition), **(known or {})})

    def aimed(self, condition: Condition) -> Known:
        """See `Aiming`: an average voltage, where lithium is the working ion; on the scale of the screening."""
        found: dict[str, Collection[int]] = {}
        for target in condition.targets:
            if target.property != "average_voltage" or working_ion(condition) != "Li":
                raise GenerationError(
                    f"dbm cannot aim at {target.property}: it knows average_voltage, with Li required"
                )
            ends = (-math.inf if target.low is None else target.low, math.inf if target.high is None else target.high)
            low, high = ((end - SCREENED_V[0]) / SCREENED_V[1] for end in ends)
            found[VOLTAGE] = self.modality(VOLTAGE).between(low, high)
        return found

    def complete(self, given: Given, n: int, rng: np.random.Generator, known: Known | None = None) -> list[Formula]:
        """See `Family`; modalities may be given, with errors as of `sample`."""
        return self._draw(n, demand(self.grammar, None, given), rng, known or {})

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator, known: Known) -> list[Formula]:
        for name, bins in known.items():
            size = self.modality(name).bins
            if not bins or not set(bins) <= set(range(size)):
                raise InputError(f"{name}: bins {sorted(bins)} are asked for; there are 0 to {size - 1}")
        first = self._formulas()
        if not known:
            return first.draw(n, wish, rng)

        def draw(m: int) -> list[Formula]:
            formulas = first.draw(m, wish, rng)
            kept = rng.random(m) < self._chances(formulas, known, rng)
            return [formula for formula, keep in zip(formulas, kept.tolist(), strict=True) if keep]

        return collect(n, wish, draw)

    def _chances(self, formulas: Sequence[Formula], known: Known, rng: np.random.Generator) -> NDArray[np.float64]:
        """Of all that is given, for each formula [n]: one modality after another, each with a draw of those before."""
        materials, chances = Materials.plain(formulas, len(self.modalities)), np.ones(len(formulas))
        for name, bins in known.items():
            told, allowed = self.tell(name, materials), sorted(bins)
            sums = told[:, allowed].cumsum(1)
            chances *= sums[:, -1]
            drawn = (rng.random((len(formulas), 1)) * sums[:, -1:] >= sums).sum(1).clip(max=len(allowed) - 1)
            materials.bins[:, self._place(name)] = np.array(allowed)[drawn]
        return chances

    def modality(self, name: str) -> Modality:
        """By its name.

        Raises:
            data.errors.InputError: the machine knows no such modality.
        """
        return self.modalities[self._place(name)]

    def _place(self, name: str) -> int:
        names = [one.name for one in self.modalities]
        if name not in names:
            raise InputError(f"{name}: this machine knows {', '.join(names) or 'formulas alone'}")
        return names.index(name)

    def _formulas(self) -> RbmFamily:
        network = self.learned()
        first = RbmFamily(self.grammar, network.lower.config, None)
        first.network = network.lower
        return first
