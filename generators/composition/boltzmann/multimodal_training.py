"""What a deep machine on several modalities learns, for `generators.training.loop.train`.

A mixed objective. First, the likelihood of formulas and of what is known of them: by persistent contrastive divergence,
where mean field stands in for what is missing and for the second layer (so it is a lower bound that rises). Second,
multi-prediction (Goodfellow, Mirza, Courville and Bengio 2013): some known modalities are hidden at random and told
from the formula and the rest by mean field, and their nats are minimised through its iterations.

The chains are buffers of the machine, so they are kept with the weights, and what was killed goes on with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.shipped import shipped
from redoxa.data.tables.materials import NAMES, Modality, load_materials, modalities_of
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.chain import Asked
from redoxa.generators.composition.boltzmann.deep import fingerprint
from redoxa.generators.composition.boltzmann.multimodal import NAME, Dbm, DbmConfig, entropy, save_dbm
from redoxa.generators.composition.boltzmann.multimodal_sampling import means_of, settled_dbm, sweep_all
from redoxa.generators.composition.boltzmann.network import Rbm, load_rbm
from redoxa.generators.composition.boltzmann.training import BATCH, ON_THE_WAY
from redoxa.generators.composition.grammar import Formula, demand, formula_of
from redoxa.generators.composition.training import NEXT
from redoxa.generators.training.kinds import Training

if TYPE_CHECKING:
    from redoxa.generators.training.loop import Task


@dataclass(frozen=True)
class Materials:
    """Formulas, and what is known of them.

    Attributes:
        formulas: different ones.
        bins: of each modality, -1 where missing, int64 [n,modalities].
    """

    formulas: tuple[Formula, ...]
    bins: NDArray[np.int64]

    @classmethod
    def plain(cls, formulas: Sequence[Formula], modalities: int = 0) -> Materials:
        """Of which nothing else is known."""
        return cls(tuple(formulas), np.full((len(formulas), modalities), -1, np.int64))

    def __len__(self) -> int:
        return len(self.formulas)


class DbmTask:
    """A `generators.training.loop.Task`.

    Args:
        start: the trained machine on formulas to begin with.
        modalities: of the materials.
        learned: materials to learn.
        held_out: materials to judge by.
        config: size of the rest.
        anneal: how the partition function is estimated at each save.

    Raises:
        data.errors.InputError: a formula outside the grammar of the machine.
    """

    name = NAME

    def __init__(
        self,
        start: Rbm,
        modalities: Sequence[Modality],
        learned: Materials,
        held_out: Materials,
        config: DbmConfig,
        anneal: Anneal = ON_THE_WAY,
    ) -> None:
        self.start, self.modalities, self.config, self.anneal = start, tuple(modalities), config, anneal
        self.learned = len(learned)
        self.slots = torch.from_numpy(start.grammar.encode([*learned.formulas, *held_out.formulas]))
        self.bins = torch.from_numpy(np.concatenate([learned.bins, held_out.bins]))
        self.asked = Asked.of(demand(start.grammar))
        told = self.slots.numpy().tobytes() + self.bins.numpy().tobytes()
        self.settings = {
            "network": json.dumps(asdict(config)),
            "modalities": json.dumps([asdict(one) for one in modalities]),
            "grammar": json.dumps(asdict(start.grammar)),
            "formulas": hashlib.sha256(told).hexdigest(),
            "start": fingerprint(start),
        }

    def network(self) -> Dbm:
        """See `Task`."""
        network = Dbm(self.config, deepcopy(self.start), self.modalities)
        network.begin_with(self.bins[: self.learned])
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        order = np.random.default_rng((seed, epoch)).permutation(self.learned)
        return torch.split(torch.from_numpy(order), BATCH) if len(order) else ()

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        rows = torch.arange(self.learned, len(self.slots))
        return torch.split(rows, 8 * BATCH) if len(rows) else ()

    def losses(
        self, network: Dbm, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: how much less likely materials are than samples (contrast), and nats of hidden modalities.

        The chains go on by torch's common randomness, which is the same in all workers: so they have the same chains.
        """
        del step
        slots, bins = (x[rows].to(generator.device) for x in (self.slots, self.bins))
        tables = network.tables()
        formula, terms = network.lower.inputs(tables, slots), {}
        if network.training:
            chains, moved = sweep_all(network, tables, network.chains, self.asked.to(generator.device), None)
            network.keep(chains)
            terms["drawn"] = moved.float().mean()
        with torch.no_grad():
            means = network.settle(formula, bins)
        data = -network.log_weight(tables, slots, means).mean()
        terms["contrast"] = (
            data + network.log_weight(tables, network.chains.slots, means_of(network, network.chains)).mean()
        )
        terms |= self._told(network, formula, bins, generator)
        if not network.training:
            terms["nats"] = data - entropy(means).mean() + network.log_z
        loss = terms["contrast"] + self.config.telling * terms["told"] + self.config.prior * network.squares()
        return {"loss": loss} | terms

    def _told(
        self, network: Dbm, formula: torch.Tensor, bins: torch.Tensor, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Mean nats of hidden known modalities; each is hidden with a chance that differs from material to material."""
        noise = torch.rand(len(bins), 1 + bins.shape[1], device=bins.device, generator=generator)
        hidden = (bins >= 0) & (noise[:, 1:] < noise[:, :1])
        kept = network.left_out(formula)
        means = network.settle(formula, bins.masked_fill(hidden, -1), kept)
        nats = []
        for k in range(bins.shape[1]):
            of = torch.nonzero(hidden[:, k]).squeeze(1)
            some = type(means)(means.shares[of], means.units[of])
            logs = network.tell(k, formula[of], some, None if kept is None else kept[of])
            nats.append(-logs.gather(1, bins[of, k, None]).sum())
        return {"told": torch.stack(nats).sum() / hidden.sum().clamp_min(1) if nats else formula.new_zeros(())}

    def save(self, path: Path, network: Dbm) -> None:
        """See `Task`; with a partition function."""
        kept = deepcopy(network).cpu()
        try:
            settled_dbm(kept, self.anneal)
        except GenerationError:  # it may write hardly any formula early on; then there is no estimate
            kept.get_buffer("partition").fill_(torch.nan)
        network.get_buffer("partition").copy_(kept.get_buffer("partition"))
        save_dbm(path, kept)


def read_materials(data: Path, start: Rbm) -> tuple[tuple[Modality, ...], Materials, Materials]:
    """Modalities of a prepared file, materials to learn and those held out; without what `start` never writes.

    Raises:
        data.errors.InputError: the data cannot be read.
    """
    prepared = load_materials(data)
    formulas = list(map(formula_of, prepared.formulas))
    ours = np.array([start.grammar.holds(formula) for formula in formulas], np.bool_)
    held_out = prepared.formulas.held_out
    modalities = modalities_of(prepared.values[ours & ~held_out])
    bins = [one.bins_of(prepared.values[:, NAMES.index(one.name)]) for one in modalities]
    table = np.stack(bins, 1) if bins else np.zeros((len(formulas), 0), np.int64)

    def some(chosen: NDArray[np.bool_]) -> Materials:
        return Materials(tuple(formulas[i] for i in np.flatnonzero(chosen)), table[chosen])

    return modalities, some(ours & ~held_out), some(ours & held_out)


def dbm_task(data: Path, start: Path) -> DbmTask:
    """What the network that ships learns from a prepared file.

    Raises:
        data.errors.InputError: the data or the machine cannot be read.
    """
    lower = load_rbm(start)
    return DbmTask(lower, *read_materials(data, lower), DbmConfig())


def dbm_maker(data: Path, start: Path | None, edges: int | None) -> Callable[[], Task[Any]]:
    """A `MakeTask`; by default it begins with the machine on formulas that ships.

    Raises:
        InputError: none does.
    """
    del edges
    if start is None:
        start = shipped("composition_rbm.safetensors")
        if not start.exists():
            raise InputError(
                "a deep Boltzmann machine begins with a trained rbm, and none comes with this version: make one by "
                "`redoxa train --generator composition-rbm TABLE` and name its file by --start"
            )
    return partial(dbm_task, data, start)


STEPS = 6000

DBM: Final = Training(
    NAME,
    STEPS,
    frozenset({"start", "rate"}),
    "materials",
    dbm_maker,
    rate=2e-3,  # at 4e-3 the chains fall behind, and the machine diverges
    clip=50.0,
    begins_with="weights of composition-rbm",
    next=NEXT,
)
