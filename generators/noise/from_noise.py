"""What `flow` and `diffusion` share: compositions first, then geometry from noise until it is sane, then symmetry."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.generators.base import Condition, Likelihood, Predicted, ShortfallError, refuse
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.log_lattice import log_to_lattice
from redoxa.generators.noise.checkpoint import load_noise_network
from redoxa.generators.noise.compositions import CompositionCounts, CompositionSource, is_neutral, rows_for, source_for
from redoxa.generators.noise.sampling.guidance import Aim, Guided, aim_for
from redoxa.generators.noise.sampling.likelihood import Velocity, as_sample, log_density
from redoxa.generators.noise.sampling.samplers import Sampler, SamplerSettings, noise_for
from redoxa.generators.noise.sampling.slots import Slot, finished
from redoxa.generators.parallel import Progress, shares, side_by_side
from redoxa.generators.sanity import SanityLimits, contacts, is_sane

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoiseSettings:
    """How a generator from noise samples.

    Attributes:
        method: sampler by name, see `Process.samplers`.
        types: "first" draws the elements of all atoms before geometry is made, so that a composition that is not
            balanced costs no geometry; "along" reveals them evenly on the way
            (`docs/concepts/model_card_flow.md` compares).
        sampler: steps, annealing, temperature.
        limits: a crystal outside them is drawn again.
        tries: most geometries per sample; a sample whose composition was drawn gets a new one at half of them.
        symmetry_tolerances_A: tried in order; empty leaves crystals as the network made them.
        edges_per_batch: crystals are made together in batches of about this many edges.
        guidance: weight of classifier-free guidance by a condition's targets; 0 for plain conditioning.
    """

    method: str = "euler"
    types: Literal["first", "along"] = "first"
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    limits: SanityLimits = field(default_factory=SanityLimits)
    tries: int = 8
    symmetry_tolerances_A: tuple[float, ...] = (0.6, 0.4, 0.2, 0.1)
    edges_per_batch: int = 9216
    guidance: float = 1.0


@dataclass
class NoiseReport:
    """What sampling cost: acceptance at every gate.

    Attributes:
        compositions_drawn: compositions the network completed.
        compositions_unbalanced: of these, refused for their charge.
        geometries: geometries that were made.
        refused: of these, drawn again for contacts or density.
        kept_strained: samples returned outside the limits because every try failed.
        symmetrised: samples snapped to a space group above P1.
    """

    compositions_drawn: int = 0
    compositions_unbalanced: int = 0
    geometries: int = 0
    refused: int = 0
    kept_strained: int = 0
    symmetrised: int = 0


@dataclass
class _Part:
    """Some of the samples, made in one thread: what decides them, and what they cost.

    Attributes:
        condition: what is asked for, with this part's contents.
        aim: what the condition's targets mean.
        generator: source of randomness.
        source: draws compositions; None where contents are given.
        counts: of compositions.
        report: of geometries.
    """

    condition: Condition
    aim: Aim
    generator: torch.Generator
    source: CompositionSource | None = None
    counts: CompositionCounts = field(default_factory=CompositionCounts)
    report: NoiseReport = field(default_factory=NoiseReport)


def _total(reports: Iterable[NoiseReport]) -> NoiseReport:
    """Sum of reports."""
    rows = [astuple(report) for report in reports]
    return NoiseReport(*(sum(column) for column in zip(*rows, strict=True)))


@dataclass(frozen=True)
class Process:
    """How noise becomes a crystal: samplers by name, and what the network's words mean for the likelihood."""

    samplers: Mapping[str, Sampler]
    velocity: Velocity


class FromNoise:
    """Crystals from noise by a trained network over the fully connected periodic graph.

    Attributes:
        process: from noise to crystals.
        defaults: settings of one who chooses none.
    """

    name: ClassVar[str]
    process: ClassVar[Process]
    aims: ClassVar[frozenset[str]]
    cannot: ClassVar[Mapping[str, str]] = {"groups": "use `orbits` or `template`", "like": "use `orbits`"}
    defaults: ClassVar[NoiseSettings]
    likelihood: ClassVar[Likelihood] = "log_likelihood"

    def __init__(self, checkpoint: Path | None = None, settings: NoiseSettings | None = None) -> None:
        path = checkpoint or shipped(f"{self.name}.safetensors")
        self.settings = settings or self.defaults
        network, self.statistics = load_noise_network(path, self.name)
        self.labels, self.network = network.labels, Guided(network, self.settings.guidance)
        self.sampler = replace(self.settings.sampler, closest_A=self.statistics.closest_A)
        self.checkpoint_sha256: str | None = sha256_of(path)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels; see `generators.base.Generator`.

        A label is "" or, where every try was refused and the best is given, "close contacts".

        Raises:
            GenerationError: the condition cannot be met.
        """
        batch, labels, report = self.sample_with_report(n, condition, rng, on_step)
        logger.info("%s: %s", self.name, report)
        return batch, labels

    def sample_with_report(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str], NoiseReport]:
        """As `sample`, with the acceptance at every gate.

        Raises:
            GenerationError: the condition cannot be met.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        refuse(self.name, condition, **self.cannot)
        aim = aim_for(self.name, condition, self.labels)
        if n == 0:
            return CrystalBatch.from_crystals([]), [], NoiseReport()
        progress = Progress(n, on_step)
        tasks, first = [], 0
        for size in shares(n):
            part = replace(condition, contents=condition.contents[first : first + size])
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            tasks.append(partial(self._sample_part, size, _Part(part, aim, generator), progress))
            first += size
        parts = side_by_side(tasks)
        labels = [label for _, part_labels, _ in parts for label in part_labels]
        batch = CrystalBatch.concatenate(batch for batch, _, _ in parts)
        if len(labels) < n:
            raise ShortfallError(
                f"{n - len(labels)} of {n} samples are not charge-neutral after all tries; allow more elements",
                list(map(Predicted, batch.to_crystals(), labels)),
            )
        return batch, labels, _total(r for _, _, r in parts)

    def log_likelihood(self, crystals: Sequence[Crystal], rng: np.random.Generator) -> NDArray[np.float64]:
        """See `generators.base.HasLikelihood` and `likelihood.log_density`."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        found = np.full(len(crystals), np.nan)
        known = [max(crystal.numbers) < N_TYPES for crystal in crystals]
        sizes = np.array([crystal.n_atoms for crystal in crystals]) * known
        for size in np.unique(sizes[sizes > 0]).tolist():
            width = max(1, min(128, self.settings.edges_per_batch // size**2))
            rows = np.flatnonzero(sizes == size)
            for chosen in np.split(rows, range(width, len(rows), width)):
                batch = as_sample([crystals[i] for i in chosen])
                found[chosen] = log_density(self.network, self.process.velocity, batch, generator).numpy() / size
        return found

    def _sample_part(self, n: int, part: _Part, progress: Progress) -> tuple[CrystalBatch, list[str], NoiseReport]:
        """Some of the samples, from composition to symmetry."""
        if part.condition.contents:
            rows = rows_for(part.condition.contents, part.condition)
        else:
            part.source = source_for(self.network, part.aim, self.sampler, part.condition, self.statistics)
            first = self.settings.types == "first"
            rows = part.source.fill(n, part.generator, part.counts) if first else part.source.hidden(n, part.generator)
        slots = [Slot(row) for row in rows]
        self._fill_geometry(slots, part, progress)
        report = part.report
        report.compositions_drawn, report.compositions_unbalanced = part.counts.drawn, part.counts.unbalanced
        slots = [slot for slot in slots if len(slot.types)]  # the others never were charge-neutral
        if not slots:
            return CrystalBatch.from_crystals([]), [], report
        report.kept_strained = sum(not slot.sane for slot in slots)
        batch, report.symmetrised = finished(slots, self.settings.symmetry_tolerances_A, self.settings.limits)
        return batch, ["" if slot.sane else "close contacts" for slot in slots], report

    def _fill_geometry(self, slots: list[Slot], part: _Part, progress: Progress) -> None:
        """Make geometries, and again for those that are refused, until all are sane or out of tries."""
        source, first = part.source, self.settings.types == "first"
        # Types drawn on the way are refused far more often than geometries of types that fit.
        tries = self.settings.tries * (1 if first else 8)
        pending = list(slots)
        while pending:
            for size in sorted({len(slot.given) for slot in pending}):
                group = [slot for slot in pending if len(slot.given) == size]
                width = max(1, min(128, self.settings.edges_per_batch // size**2))
                for start in range(0, len(group), width):
                    self._make(group[start : start + width], part)
            before = len(pending)
            pending = [slot for slot in pending if not slot.sane and slot.tries < tries]
            progress.add(before - len(pending))
            stuck = [slot for slot in pending if slot.tries == tries // 2]
            if source is not None and stuck:
                draw = partial(source.draw, counts=part.counts) if first else source.hidden
                rows = draw(2 * len(stuck), part.generator)
                for slot, row in zip(stuck, rows, strict=False):
                    slot.given, slot.score = row, -1.0

    def _make(self, slots: list[Slot], part: _Part) -> None:
        """One crystal for each slot (equal sizes), kept where it is balanced, and sane or the best so far."""
        given = torch.stack([slot.given for slot in slots])
        sampler = self.sampler if part.source is None else part.source.settings
        with torch.inference_mode():
            labels = part.aim.draw(len(slots), part.generator)
            start = noise_for(self.network, given, sampler, part.generator, labels)
            end = self.process.samplers[self.settings.method](self.network, start, sampler, part.generator, None)
            lattice = log_to_lattice(end.lattice)
            sane = is_sane(end.types, end.coords, lattice, self.settings.limits).tolist()
            scores = contacts(end.types, end.coords, lattice).tolist()
        part.report.geometries += len(slots)
        part.report.refused += len(slots) - sum(sane)
        for i, slot in enumerate(slots):
            slot.tries += 1
            if bool((slot.given == MASK).any()):
                part.counts.drawn += 1
                if part.condition.charge_neutral and not is_neutral(end.types[i]):
                    part.counts.unbalanced += 1
                    continue
            if sane[i] or scores[i] > slot.score:
                slot.keep(end.types[i], end.coords[i], lattice[i], sane=sane[i], score=scores[i])
