"""Formulas and modalities of a deep Boltzmann machine: whatever is given, the rest is told or drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.tables.materials import Modality
from redoxa.generators.base import Condition
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.chain import Asked, Warmth
from redoxa.generators.composition.boltzmann.family import THOROUGH, RbmFamily, gathered, written
from redoxa.generators.composition.boltzmann.multimodal import Dbm, DbmConfig, load_dbm, save_dbm
from redoxa.generators.composition.boltzmann.multimodal_sampling import begun, settled_dbm, sweep_all, usual_of
from redoxa.generators.composition.boltzmann.multimodal_training import DbmTask, Materials
from redoxa.generators.composition.boltzmann.network import RbmConfig, load_rbm
from redoxa.generators.composition.family import LogProbability
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand
from redoxa.generators.composition.masks import Masks
from redoxa.generators.training.loop import TrainConfig, train

Known = Mapping[str, Collection[int]]
"""Modalities by name, and in which bins they may be (`Modality.between`, `Modality.kind`)."""

TOGETHER = 512
"""Formulas of which modalities are told at once."""


class DbmFamily:
    """A `Family` by a deep Boltzmann machine, which tells modalities too and samples with some clamped.

    Log probabilities are of the formula alone, all modalities summed out: lower bounds of its weight by mean field,
    less log Z by annealed importance sampling. As log Z is an estimate, they are no bounds.

    Samples are chains as those of `RbmFamily`, with modalities and the second layer beside the formula.

    Args:
        grammar: of the formulas.
        config: size of the machine.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
        lower: size of the machine on formulas, which is trained first by itself.
        modalities: beside the formula.
        anneal: how partition functions are estimated in the end.
        sweeps: of each sample.
    """

    name = "dbm"

    def __init__(
        self,
        grammar: Grammar,
        config: DbmConfig,
        training: TrainConfig | None,
        lower: RbmConfig | None = None,
        modalities: Sequence[Modality] = (),
        anneal: Anneal = THOROUGH,
        sweeps: int = 24,
    ) -> None:
        self.grammar, self.config, self.training, self.anneal = grammar, config, training, anneal
        self.lower, self.modalities, self.sweeps = lower or RbmConfig(), tuple(modalities), sweeps
        self.network: Dbm | None = None

    @classmethod
    def load(cls, path: Path) -> DbmFamily:
        """One that has learned.

        Raises:
            data.errors.InputError: not a checkpoint of this program.
        """
        network = load_dbm(path)
        family = cls(network.grammar, network.config, None, network.lower.config, network.modalities)
        family.network = network
        return family

    def save(self, path: Path) -> None:
        """Inverse of `load`; the partition function is kept too.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        save_dbm(path, self._network())

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`: of these, nothing else is known; errors as of `fit_materials`."""
        self.fit_materials(Materials.plain(formulas, len(self.modalities)), seed)

    def fit_materials(self, materials: Materials, seed: int) -> None:
        """Learn from formulas and what is known of them.

        Raises:
            GenerationError: nothing is said of how to train.
            data.errors.InputError: a formula outside the grammar, or the folder is of other materials.
        """
        if self.training is None:
            raise GenerationError("a network that was read cannot learn; make one with a `TrainConfig`")
        below = replace(self.training, out=self.training.out / "lower")
        first = RbmFamily(self.grammar, self.lower, below, self.anneal)
        first.fit(materials.formulas, seed)
        file = self.training.out / f"seed-{seed}" / "lower.safetensors"
        first.save(file)
        config = replace(self.training, out=file.parent, seed=seed)
        nothing = Materials.plain((), len(self.modalities))
        task = partial(DbmTask, load_rbm(file), self.modalities, materials, nothing, self.config)
        network = load_dbm(train(task, config, resume=True))
        settled_dbm(network, self.anneal)
        self.network = network

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`."""
        network = self._network()
        materials = Materials.plain(formulas, len(self.modalities))
        bounds = network.log_bound(torch.from_numpy(self.grammar.encode(formulas)), torch.from_numpy(materials.bins))
        return LogProbability(np.asarray(bounds.double().numpy() - network.log_z), "AIS")

    @torch.no_grad()
    def tell(self, name: str, materials: Materials) -> NDArray[np.float64]:
        """Probabilities of the bins of a modality [n,bins of it], given the formulas and what else is known of them.

        What is known of the modality itself is not looked at.

        Raises:
            data.errors.InputError: no such modality, or a formula outside the grammar.
        """
        network, k = self._network(), self._place(name)
        slots, bins = torch.from_numpy(self.grammar.encode(materials.formulas)), torch.from_numpy(materials.bins.copy())
        bins[:, k] = -1
        tables, found = network.tables(), []
        for some, known in zip(torch.split(slots, TOGETHER), torch.split(bins, TOGETHER), strict=True):
            formula = network.lower.inputs(tables, some)
            found.append(network.tell(k, formula, network.settle(formula, known)).double().exp())
        return np.asarray(torch.cat(found).numpy())

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, known: Known | None = None
    ) -> list[Formula]:
        """See `Family`; modalities may be clamped.

        Raises:
            GenerationError: the condition cannot be met, or is not met by chance.
            data.errors.InputError: no such modality, or no bin of it is allowed.
        """
        return self._draw(n, demand(self.grammar, condition), rng, known)

    def complete(self, given: Given, n: int, rng: np.random.Generator, known: Known | None = None) -> list[Formula]:
        """See `Family`; modalities may be clamped, with errors as of `sample`."""
        return self._draw(n, demand(self.grammar, None, given), rng, known)

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator, known: Known | None) -> list[Formula]:
        masks, asked, allowed = Masks(wish), Asked.of(wish), self._allowed(known or {})

        def draw(m: int) -> list[Formula]:
            return self.grammar.decode(np.asarray(self._settle(m, masks, asked, allowed, rng)))

        return gathered(n, wish, draw)

    @torch.no_grad()
    def _settle(
        self, n: int, masks: Masks, asked: Asked, allowed: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Slots after all sweeps [n,slots,2], of n chains that satisfy what is asked."""
        network = self._network()
        tables, generator = network.tables(), torch.Generator().manual_seed(int(rng.integers(2**62)))
        usual = usual_of(network, tables)
        state = begun(network, torch.from_numpy(written(n, masks, rng)))
        for i in range(self.sweeps):
            warmth = Warmth(min(1.0, 2 * i / self.sweeps), usual)
            state, _ = sweep_all(network, tables, state, asked, generator, allowed, warmth)
        return state.slots

    def _allowed(self, known: Known) -> torch.Tensor:
        """Which bins may be, of all modalities side by side [bins]."""
        network = self._network()
        allowed = torch.ones(sum(network.sizes), dtype=torch.bool)
        parts = torch.split(allowed, network.sizes)
        for name, bins in known.items():
            part = parts[self._place(name)]
            if not bins or not set(bins) <= set(range(len(part))):
                raise InputError(f"{name}: bins {sorted(bins)} are asked for; there are 0 to {len(part) - 1}")
            part.fill_(False)
            part[list(bins)] = True
        return allowed

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

    def _network(self) -> Dbm:
        if self.network is None:
            raise GenerationError(f"{self.name} has learned nothing yet: fit or load it")
        return self.network
