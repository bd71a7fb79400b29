"""What the network that puts elements on orbits learns, for `generators.training.loop.train`.

Data are the templates of the memory as graphs, prepared in one tensor file. A step hides the elements of a random
number of orbits; the loss is the bound of absorbing diffusion on the likelihood of all elements, given the geometry.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from redoxa.data.errors import InputError
from redoxa.data.symmetry.skeletons import TemplateTable
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Floats, centring
from redoxa.data.tables.datasets import split_by_formula
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.exchange.proposals import element_volumes
from redoxa.generators.graph import MASK
from redoxa.generators.orbits.decoration.decorator import Decorator, DecoratorConfig, save_decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph

VOLUME_SCALE = 0.05
"""Errors of the log volume beyond this count linearly."""

BATCH = 96


def prepare_graphs(table: TemplateTable, out: Path, holdout: int | None = None, seed: int = 0) -> None:
    """Write the templates as graphs (safetensors), some held out so that no formula is on both sides.

    Args:
        table: of templates.
        out: file to write.
        holdout: templates that are never trained on; by default see `data.tables.datasets.split_by_formula`.
        seed: of the split.
    """
    reduced = table.compositions // np.gcd.reduce(table.compositions, axis=1)[:, None]
    tensors = graph_tensors([template.form for template in table], element_volumes(table))
    tensors["held_out"] = torch.from_numpy(split_by_formula([row.tobytes().hex() for row in reduced], holdout, seed))
    write_tensors(out, tensors, {"table_sha256": table.sha256, "seed": str(seed)})


def graph_tensors(forms: Sequence[SymmetricCrystal], volumes_A3: Floats) -> dict[str, torch.Tensor]:
    """What a `DecoratorTask` reads of crystals, orbits of all crystals behind one another.

    Args:
        forms: the crystals, as graphs and as answers.
        volumes_A3: by atomic number, of one atom; the volume to learn is the logarithm of the ratio to their sum.
    """
    graphs = [OrbitGraph.of(form) for form in forms]
    numbers = [np.array([orbit.number for orbit in form.orbits]) for form in forms]
    volumes = [
        np.linalg.det(form.conventional_lattice_A) / centring(form.group) / (volumes_A3[z] @ graph.atoms)
        for form, z, graph in zip(forms, numbers, graphs, strict=True)
    ]
    return {
        "first": torch.from_numpy(np.cumsum([0, *map(len, numbers)])),
        "numbers": torch.from_numpy(np.concatenate(numbers)),
        "volumes": torch.from_numpy(np.log(volumes)).float(),
        "atoms": torch.from_numpy(np.concatenate([g.atoms for g in graphs])).float(),
        "sites": torch.from_numpy(np.concatenate([g.sites for g in graphs])),
        "shells": torch.from_numpy(np.concatenate([g.shells.reshape(-1, g.shells.shape[2]) for g in graphs])),
        "crystal": torch.from_numpy(np.stack([g.crystal for g in graphs])),
    }


class DecoratorTask:
    """A `generators.training.loop.Task`.

    Args:
        data: file of `prepare_graphs`.
        size: of the network.

    Raises:
        InputError: the data cannot be read.
    """

    name = "decorator"

    def __init__(self, data: Path, size: DecoratorConfig | None = None) -> None:
        tensors, self.header = read_tensors(data)
        if missing := {"first", "numbers", "volumes", "held_out"} - set(tensors):
            raise InputError(f"{data}: lacks {', '.join(sorted(missing))}; it is no file of orbit graphs")
        self.size = size or DecoratorConfig()
        self.settings = {"network": json.dumps(asdict(self.size)), "table": self.header.get("table_sha256", "")}
        self.tensors = tensors
        first = tensors["first"]
        self.counts = first.diff()
        self._edges = torch.cat([torch.zeros(1, dtype=torch.long), self.counts.square().cumsum(0)])

    def network(self) -> Decorator:
        """See `Task`."""
        return Decorator(self.size)

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return self._batches(~self.tensors["held_out"], (seed, epoch))

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return self._batches(self.tensors["held_out"], (1, 0))

    def losses(
        self, network: Decorator, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`."""
        del step
        graphs, types = self.take(rows, generator.device)
        batch, orbits = types.shape
        hidden = torch.randint(1, orbits + 1, (batch, 1), generator=generator, device=generator.device)
        turn = torch.rand(types.shape, generator=generator, device=generator.device).argsort(1).argsort(1)
        logits, _ = network(types.masked_fill(turn < hidden, MASK), graphs)
        misses = functional.cross_entropy(logits.flatten(0, 1), types.flatten(), reduction="none").view(types.shape)
        elements = ((misses * (turn < hidden)).sum(1) / hidden.squeeze(1)).mean()
        volumes = self.tensors["volumes"][rows].to(generator.device)
        volume = functional.huber_loss(network(types, graphs)[1], volumes, delta=VOLUME_SCALE) / VOLUME_SCALE
        return {"loss": elements + volume, "nats_by_orbit": elements, "nats": elements * orbits, "volume": volume}

    def save(self, path: Path, network: Decorator) -> None:
        """See `Task`."""
        save_decorator(path, network)

    def take(self, rows: torch.Tensor, device: torch.device) -> tuple[GraphBatch, torch.Tensor]:
        """Graphs of crystals [b] with equally many orbits, and their elements [b,o]."""
        count = int(self.counts[rows[0]])
        orbits = self.tensors["first"][rows].unsqueeze(1) + torch.arange(count)
        edges = self._edges[rows].unsqueeze(1) + torch.arange(count**2)
        found = {
            "atoms": self.tensors["atoms"][orbits],
            "sites": self.tensors["sites"][orbits],
            "shells": self.tensors["shells"][edges].view(len(rows), count, count, -1),
            "crystal": self.tensors["crystal"][rows],
        }
        graphs = GraphBatch(*(found[field.name].to(device) for field in fields(GraphBatch)))
        return graphs, self.tensors["numbers"][orbits].to(device)

    def _batches(self, chosen: torch.Tensor, seed: tuple[int, ...]) -> list[torch.Tensor]:
        """The chosen crystals once, in batches of one number of orbits each, shuffled."""
        rng = np.random.default_rng(seed)
        batches: list[torch.Tensor] = []
        for count in sorted(set(self.counts[chosen].tolist())):
            same = torch.nonzero(chosen & (self.counts == count)).squeeze(1)
            batches += torch.split(same[torch.from_numpy(rng.permutation(len(same)))], BATCH)
        return [batches[i] for i in rng.permutation(len(batches))]
