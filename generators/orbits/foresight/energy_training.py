"""Training of the energy model, on labelled templates and new crystals and on templates with an orbit redrawn.

A hull is only as good as the phases that are known: templates are learned from where another phase holds all their
elements, and so are new crystals counted in what is reported. New crystals, which is what is drawn, weigh more; of them
all are learned from. What lies far from the hull on either side is all the same here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional

from redoxa.data.provenance import sha256_of
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates
from redoxa.data.tables.datasets import split_by_formula
from redoxa.data.tables.template_labels import StabilityLabel, read_stability_labels
from redoxa.generators.checkpoint import Tensors, write_tensors
from redoxa.generators.graph import MASK
from redoxa.generators.orbits.decoration.decorator import load_decorator
from redoxa.generators.orbits.decoration.decorator_training import DecoratorTask
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch
from redoxa.generators.orbits.foresight.energy_model import EnergyModel, energy_tensors, load_energy_model
from redoxa.generators.training.log import OnLog
from redoxa.generators.training.loop import TrainConfig, train

STEPS, BATCH = 4_000, 128

NEW_WEIGHT = 2
"""Times that a new crystal is seen for each time of a template."""

HELD_OUT = 0.2
"""Share of the labels that are never learned from, by formula."""

RANGE_eV_PER_ATOM = (-0.15, 0.4)
"""Labels beyond are drawn to these ends."""

NEAR_eV_PER_ATOM, REAL_eV_PER_ATOM = 0.1, 0.05
"""What counts as near the hull, and what is near enough for its redrawn twin to count as worse."""

SCALE_eV_PER_ATOM = 0.1
"""Errors of the distance are counted in it, beyond half of it linearly."""

MARGIN = 0.5
"""By how much energy a real crystal should lie below its redrawn twin."""

SORTED, CONTRASTED = 0.5, 0.3
"""Weights of telling near from far, and real from redrawn, against the distance."""

HEAT = 2.0
"""Temperature at which the decorator redraws an orbit: at 1 it would mostly propose what is as good."""


@dataclass(frozen=True)
class Foresight:
    """How good foreseen distances are on formulas that were held out.

    Attributes:
        n: crystals.
        mae_eV_per_atom: mean absolute error, of labels inside the range.
        spread_eV_per_atom: what always saying the median would err.
        rank: Spearman's correlation.
        auc_near: chance that of two crystals, one within 0.1 eV/atom and one not, the first has the lower energy.
    """

    n: int
    mae_eV_per_atom: float
    spread_eV_per_atom: float
    rank: float
    auc_near: float


class EnergyTask:
    """A `generators.training.loop.Task` over labels.

    Args:
        table: file of templates; None for those that ship.
        graphs: of them (`decorator_training.prepare_graphs`).
        labels: file of stability labels of them.
        decorator: checkpoint with the decorator to begin with, which redraws orbits as well.
        seed: of the split.

    Raises:
        data.errors.InputError: a file cannot be read.
    """

    name = "energy"

    def __init__(self, table: Path | None, graphs: Path, labels: Path, decorator: Path, seed: int = 0) -> None:
        templates = load_templates(table)
        self.labels = read_stability_labels(labels, templates.sha256)
        self.decorator = load_decorator(decorator).requires_grad_(False)
        self._graphs = DecoratorTask(graphs, self.decorator.config)
        self.settings = {"labels": sha256_of(labels), "decorator": sha256_of(decorator)}
        first = templates.first_orbit
        own = [templates.orbit_numbers[first[x.template] : first[x.template + 1]].tolist() for x in self.labels]
        self.new = np.array([list(x.numbers) != numbers for x, numbers in zip(self.labels, own, strict=True)])
        self.full = np.array([x.full_phases > 0 for x in self.labels])
        self.answers = torch.tensor([x.above_hull_eV_per_atom for x in self.labels]).clamp(*RANGE_eV_PER_ATOM)
        self.aside = split_by_formula(_formulas(templates, self.labels), int(HELD_OUT * len(self.labels)), seed)
        self._orbits = np.array([len(x.numbers) for x in self.labels])
        self._known = torch.from_numpy((templates.compositions > 0).any(0))

    def network(self) -> EnergyModel:
        """See `Task`."""
        network = EnergyModel(self.decorator.config)
        network.begin_with(self.decorator)
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        rows = np.flatnonzero(~self.aside & (self.full | self.new))
        return self._batches(np.repeat(rows, np.where(self.new[rows], NEW_WEIGHT, 1)), (seed, epoch))

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return self._batches(np.flatnonzero(self.aside & self.full), (1, 0))

    def losses(
        self, network: EnergyModel, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`."""
        del step
        types, graphs = self.take(rows, generator.device)
        answers = self.answers[rows].to(generator.device)
        found = network(types, graphs)
        errors = (found.distance_eV_per_atom - answers) / SCALE_eV_PER_ATOM
        distance = functional.smooth_l1_loss(errors, torch.zeros_like(errors), beta=0.5)
        near = (answers <= NEAR_eV_PER_ATOM).float()
        ranked = functional.binary_cross_entropy_with_logits(-found.energy, near)
        contrast = distance.new_zeros(())
        if bool((real := answers <= REAL_eV_PER_ATOM).any()):
            redrawn = self._redrawn(types[real], graphs[real], generator)
            gap = found.energy[real] - network(redrawn, graphs[real]).energy
            contrast = functional.softplus(gap + MARGIN).mean()
        loss = distance + SORTED * ranked + CONTRASTED * contrast
        return {"loss": loss, "distance": distance, "sorted": ranked, "contrast": contrast}

    def save(self, path: Path, network: EnergyModel) -> None:
        """See `Task`."""
        write_tensors(path, *energy_tensors(network))

    def take(self, rows: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, GraphBatch]:
        """Elements [b,o] and graphs of labelled crystals of equally many orbits."""
        chosen = [self.labels[i] for i in rows.tolist()]
        graphs, _ = self._graphs.take(torch.tensor([label.template for label in chosen]), device)
        return torch.tensor([label.numbers for label in chosen], device=device), graphs

    def _redrawn(self, types: torch.Tensor, graphs: GraphBatch, generator: torch.Generator) -> torch.Tensor:
        """Crystals [b,o] with another element on one of their orbits: a Gibbs step of the decorator, at some heat."""
        device = generator.device
        self.decorator.to(device)
        where = torch.randint(types.shape[1], (len(types), 1), generator=generator, device=device)
        with torch.no_grad():
            logits = self.decorator(types.scatter(1, where, MASK), graphs)[0] / HEAT
        logits = logits.gather(1, where.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))[:, 0]
        logits = logits.scatter(1, types.gather(1, where), -torch.inf).masked_fill(~self._known.to(device), -torch.inf)
        return types.scatter(1, where, torch.multinomial(logits.softmax(1), 1, generator=generator))

    def _batches(self, rows: np.ndarray, seed: tuple[int, int]) -> list[torch.Tensor]:
        """Labels in batches of one number of orbits each, shuffled."""
        rng = np.random.default_rng(seed)
        batches: list[torch.Tensor] = []
        for count in np.unique(self._orbits[rows]):
            same = rng.permutation(rows[self._orbits[rows] == count])
            batches += torch.split(torch.from_numpy(same), BATCH)
        return [batches[i] for i in rng.permutation(len(batches))]


def train_energy(
    table: Path | None, graphs: Path, labels: Path, decorator: Path, config: TrainConfig, on_log: OnLog
) -> tuple[Tensors, dict[str, str], dict[str, Foresight]]:
    """Train the energy model; killed and run again, it goes on where it was.

    Args:
        table: see `EnergyTask`, as are graphs, labels and decorator.
        graphs: of the templates.
        labels: of the templates and of new crystals.
        decorator: checkpoint to begin with.
        config: how (`energy_config`).
        on_log: called with each log line.

    Returns:
        Tensors and header for a checkpoint of `orbits`, and how good it is on held-out templates ("templates") and new
        crystals ("new"), where a known phase holds all their elements.
    """
    make = partial(EnergyTask, table, graphs, labels, decorator)
    network = load_energy_model(train(make, config, on_log, resume=True))
    if network is None:
        raise LookupError("a training of the energy model wrote none")
    task = make()
    parts = {"templates": task.aside & task.full & ~task.new, "new": task.aside & task.full & task.new}
    quality = {name: foresight(task, network, np.flatnonzero(part)) for name, part in parts.items()}
    return *energy_tensors(network), quality


def energy_config(out: Path, steps: int = STEPS, seed: int = 0) -> TrainConfig:
    """How the energy model is trained: some three minutes on one core."""
    return TrainConfig(
        out, steps=steps, decay_steps=9 * steps // 10, warmup_steps=steps // 10, rate=4e-4, weight_decay=0.03, clip=3.0,
        ema=0.998, save_every=500, seed=seed,
    )  # fmt: skip


def foresight(task: EnergyTask, network: EnergyModel, rows: np.ndarray) -> Foresight:
    """How good a network is on labels [n]."""
    found = torch.zeros(2, len(rows))
    for count in np.unique(task._orbits[rows]):
        same = np.flatnonzero(task._orbits[rows] == count)
        for places in np.array_split(same, -(-len(same) // 256)):
            types, graphs = task.take(torch.from_numpy(rows[places]), torch.device("cpu"))
            with torch.inference_mode():
                found[:, places] = torch.stack(network(types, graphs))
    return judged(found[0], found[1], task.answers[rows])


def judged(distance_eV_per_atom: torch.Tensor, energy: torch.Tensor, answers: torch.Tensor) -> Foresight:
    """Compare what is foreseen with labels, each [n]."""
    p, e, y = (x.double().numpy() for x in (distance_eV_per_atom, energy, answers))
    if len(y) < 2:
        return Foresight(len(y), *[float("nan")] * 4)
    near, far = e[y <= NEAR_eV_PER_ATOM], e[y > NEAR_eV_PER_ATOM]
    wins = (near[:, None] < far).mean() + (near[:, None] == far).mean() / 2 if len(near) and len(far) else float("nan")
    errors = float(np.abs(p - y).mean()), float(np.abs(y - np.median(y)).mean())
    return Foresight(len(y), *errors, float(spearmanr(p, y).statistic), float(wins))


def _formulas(table: TemplateTable, labels: Sequence[StabilityLabel]) -> list[str]:
    """Something that equal reduced compositions have in common."""
    found = []
    for label in labels:
        here = slice(table.first_orbit[label.template], table.first_orbit[label.template + 1])
        counts = np.bincount(label.numbers, table.orbit_atoms[here], table.compositions.shape[1]).astype(np.int64)
        found.append((counts // np.gcd.reduce(counts)).tobytes().hex())
    return found
