"""Batches of sequences and their likelihood: what the sequence network is trained on and measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from redoxa.data.symmetry.positions import PositionTable, free_cell
from redoxa.data.symmetry.sequences import SequenceData, sequence_of
from redoxa.generators.graph import N_TYPES
from redoxa.generators.wyckoff.network import Context, SequenceNetwork

if TYPE_CHECKING:
    from redoxa.data.symmetry.symmetric import SymmetricCrystal

TERMS = ("group", "element", "position", "cell", "free")
"""Parts of the likelihood of a crystal; the first three are discrete."""


@dataclass(frozen=True)
class Shares:
    """Shares of the training samples.

    Attributes:
        free_order: any of the equal forms, its orbits in any order.
        content: the composition is given.
    """

    free_order: float = 0.4
    content: float = 0.5


@dataclass(frozen=True)
class SequenceBatch:
    """B crystals of at most T orbits.

    Attributes:
        groups: space groups, int64 [B].
        positions: Wyckoff positions by their places in the table, zero-padded, int64 [B,T].
        numbers: atomic numbers, zero where there is no orbit, int64 [B,T].
        free: free coordinates, zero-padded, float [B,T,3].
        cells: log lengths and angles, see `data.symmetry.sequences`, float [B,6].
        content: sites of the primitive cell by type, float [B, N_TYPES].
        free_order: where form and order of the orbits were drawn at random, bool [B].
    """

    groups: torch.Tensor
    positions: torch.Tensor
    numbers: torch.Tensor
    free: torch.Tensor
    cells: torch.Tensor
    content: torch.Tensor
    free_order: torch.Tensor


class Sequences:
    """All sequences of a data set as tensors on the CPU."""

    def __init__(self, data: SequenceData) -> None:
        names = ("first_form", "first_orbit", "groups", "cells", "positions", "numbers", "free")
        self.first_form, self.first_orbit, self.groups, self.cells, self.positions, self.numbers, self.free = (
            torch.from_numpy(getattr(data, name)) for name in names
        )
        self.atoms = torch.from_numpy(data.table.atoms)
        forms = self.first_form[:-1]
        self.orbits = (self.first_orbit[forms + 1] - self.first_orbit[forms]).numpy()

    def take(self, rows: torch.Tensor, free_order: torch.Tensor, generator: torch.Generator) -> SequenceBatch:
        """Crystals [B] on the generator's device.

        Args:
            rows: which ones.
            free_order: of which a form and an order of the orbits is drawn, bool [B]; of the others, the canonical one.
            generator: draws them.
        """
        device = generator.device
        lots = torch.rand(len(rows), generator=generator, device=device).cpu()
        drawn = free_order.cpu()
        forms = self.first_form[rows] + (lots * drawn * self.first_form.diff()[rows]).long()
        start, count = self.first_orbit[forms], self.first_orbit.diff()[forms]
        step = torch.arange(int(count.max()))
        real = step < count.unsqueeze(1)
        lots = torch.rand(real.shape, generator=generator, device=device).cpu()
        key = torch.where(drawn.unsqueeze(1), lots, step.float()).masked_fill(~real, torch.inf)
        index = start.unsqueeze(1) + key.argsort(dim=1).minimum(count.unsqueeze(1) - 1)
        positions, numbers = self.positions[index] * real, self.numbers[index] * real
        content = torch.zeros(len(rows), N_TYPES)
        content.scatter_add_(1, numbers, (self.atoms[positions] * real).float())
        free, cells = self.free[index] * real.unsqueeze(-1), self.cells[forms]
        tensors = (self.groups[rows], positions, numbers, free, cells, content, drawn)
        return SequenceBatch(*(tensor.to(device) for tensor in tensors))


def batch_of_form(form: SymmetricCrystal, table: PositionTable) -> SequenceBatch:
    """One crystal, its form as it is."""
    rows = sequence_of(form, table)
    free = torch.zeros(1, len(rows), 3)
    content = torch.zeros(1, N_TYPES)
    for i, (position, number, coordinates) in enumerate(rows):
        free[0, i, : len(coordinates)] = torch.tensor(coordinates)
        content[0, number] += int(table.atoms[position])
    return SequenceBatch(
        groups=torch.tensor([form.group]),
        positions=torch.tensor([[position for position, _, _ in rows]]),
        numbers=torch.tensor([[number for _, number, _ in rows]]),
        free=free,
        cells=torch.from_numpy(free_cell(form))[None],
        content=content,
        free_order=torch.tensor([False]),
    )


def context_for(batch: SequenceBatch, given: torch.Tensor) -> Context:
    """A context that tells the composition where `given`, bool [B]."""
    return Context(batch.content * given.unsqueeze(1), batch.free_order)


def log_likelihood(network: SequenceNetwork, batch: SequenceBatch, given: Context) -> dict[str, torch.Tensor]:
    """Log-likelihood of each crystal in nats [B], by the parts in `TERMS`; densities in the scaled free numbers."""
    places, context = network.places(), network.context(given)
    discrete = network.discrete_inputs(places, batch.groups, (batch.positions, batch.numbers), given)
    chosen, free, free_real = _free_orbits(network, batch)
    orbits = network.orbit(places, batch.positions.gather(1, chosen), batch.numbers.gather(1, chosen))
    volumes_A3 = (batch.content * network.volumes).sum(1)
    cells = network.scaled_cells(batch.cells, batch.groups, volumes_A3)
    geometry = network.geometry_inputs(orbits, free, cells)
    is_orbit = batch.numbers > 0
    true = torch.ones_like(is_orbit[:, :1])
    real = torch.cat([true, true, is_orbit, true, free_real], dim=1)
    h = network.trunk(torch.cat([discrete, geometry], dim=1), context, real)
    start, after, cell, places_h = torch.split(h, [1, is_orbit.shape[1] + 1, 1, free.shape[1]], dim=1)
    free_dims = torch.arange(3, device=free.device) < network.free[batch.positions.gather(1, chosen)].unsqueeze(-1)
    density = network.free_mixture(places_h).log_density(free, free_dims)
    return {
        "group": -cross_entropy(network.to_group(start[:, 0]), batch.groups, reduction="none"),
        "element": _elements(network, after, batch, given),
        "position": _positions(network, after[:, :-1], places, batch),
        "cell": network.cell_mixture(cell[:, 0]).log_density(cells, network.cell_real(batch.groups)),
        "free": (density * free_real).sum(1),
    }


def _elements(network: SequenceNetwork, h: torch.Tensor, batch: SequenceBatch, given: Context) -> torch.Tensor:
    """Log-probability of the elements and of the end [B]."""
    logits = network.to_element(h)
    asked = given.content.sum(1) > 0
    done = torch.cat([torch.ones_like(batch.numbers[:, :1]), batch.numbers], dim=1) > 0
    target = torch.cat([batch.numbers, torch.zeros_like(batch.numbers[:, :1])], dim=1)
    later = torch.nn.functional.one_hot(target, N_TYPES).flip(1).cumsum(1).flip(1) > 0  # what is still to come
    later[..., 0] = ~(later[..., 1:].any(-1))
    logits = logits.masked_fill(asked[:, None, None] & ~later, -torch.inf)
    return -(cross_entropy(logits.transpose(1, 2), target, reduction="none") * done).sum(1)


def _positions(network: SequenceNetwork, h: torch.Tensor, places: torch.Tensor, batch: SequenceBatch) -> torch.Tensor:
    """Log-probability of the Wyckoff positions [B]."""
    real = batch.numbers > 0
    logits = network.position_logits(h, places, batch.groups, batch.numbers)
    target = torch.where(real, batch.positions - network.first[batch.groups].unsqueeze(1), 0)
    return -(cross_entropy(logits.transpose(1, 2), target, reduction="none") * real).sum(1)


def _free_orbits(network: SequenceNetwork, batch: SequenceBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Places of the orbits that are free, in order [B,M], their coordinates [B,M,3], and which are real [B,M]."""
    is_free = (network.free[batch.positions] > 0) & (batch.numbers > 0)
    most = int(is_free.sum(1).max())
    chosen = (~is_free).long().argsort(dim=1, stable=True)[:, :most]
    index = chosen.unsqueeze(-1).expand(-1, -1, 3)
    return chosen, batch.free.gather(1, index), is_free.gather(1, chosen)


def fit_buffers(network: SequenceNetwork, data: SequenceData, chosen: np.ndarray) -> None:
    """Volumes of atoms by least squares, and which elements occur, over the crystals `chosen`, bool [B]."""
    kept = data.crystals.subset(chosen)
    owner = np.repeat(np.arange(len(kept)), kept.counts)
    counts = np.zeros((len(kept), N_TYPES))
    np.add.at(counts, (owner, kept.numbers), 1.0)
    volumes = np.abs(np.linalg.det(kept.cells.astype(np.float64)))
    shares = counts / counts.sum(1, keepdims=True)
    pull = 0.1
    fitted = np.linalg.solve(
        shares.T @ shares + pull * np.eye(N_TYPES), shares.T @ (volumes / counts.sum(1)) + pull * 15.0
    )
    network.volumes.copy_(torch.from_numpy(np.maximum(fitted, 1.0)))
    network.known.copy_(torch.from_numpy(counts.any(0)))
    network.known[0] = False
