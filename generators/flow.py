"""`flow`: joint flow matching of atom types, fractional coordinates and lattice, on elements or exact contents."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import ClassVar, Literal

import numpy as np
import torch

from data.crystal import CrystalBatch
from data.errors import GenerationError
from generators.base import Condition, OnStep, refuse
from generators.checkpoint import load_network, sha256
from generators.compositions import CompositionCounts, CompositionSource, is_neutral, rows_for, source_for
from generators.graph import MASK
from generators.parallel import shares, side_by_side
from generators.paths import log_to_lattice
from generators.samplers import SAMPLERS, SamplerSettings, noise_for
from generators.sanity import SanityLimits, contacts, is_sane
from generators.symmetry import Floats, symmetrise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FlowSettings:
    """How the generator samples.

    Attributes:
        method: sampler by name, see `samplers.SAMPLERS`.
        types: "first" draws the elements of all atoms before geometry flows, so that a composition that is not
            balanced costs no geometry; "along" reveals them evenly on the way (`docs/model_card_flow.md` compares).
        sampler: steps, annealing, temperature.
        limits: a crystal outside them is drawn again.
        tries: most geometries per sample; a sample whose composition was drawn gets a new one at half of them.
        symmetry_tolerances_A: tried in order; empty leaves crystals as the network made them.
        edges_per_batch: crystals flow together in batches of about this many edges.
    """

    method: str = "euler"
    types: Literal["first", "along"] = "first"
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    limits: SanityLimits = field(default_factory=SanityLimits)
    tries: int = 8
    symmetry_tolerances_A: tuple[float, ...] = (0.6, 0.4, 0.2, 0.1)
    edges_per_batch: int = 9216


@dataclass
class FlowReport:
    """What sampling cost: acceptance at every gate.

    Attributes:
        compositions_drawn: compositions the network completed.
        compositions_unbalanced: of these, refused for their charge.
        geometries: geometries that flowed.
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
class _Slot:
    """One sample on its way: the types it starts from, and the best crystal so far (no types while there is none)."""

    given: torch.Tensor
    tries: int = 0
    sane: bool = False
    score: float = -1.0
    types: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    coords: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    lattice: torch.Tensor = field(default_factory=lambda: torch.empty(0))


class _Progress:
    """Counts finished samples from several threads."""

    def __init__(self, total: int, on_step: OnStep | None) -> None:
        self.done, self.total, self.on_step = 0, total, on_step
        self.lock = Lock()

    def add(self, count: int) -> None:
        """So many more are done."""
        with self.lock:
            self.done += count
            if self.on_step is not None:
                self.on_step(self.done, self.total)


def _total(reports: Iterable[FlowReport]) -> FlowReport:
    """Sum of reports."""
    rows = [astuple(report) for report in reports]
    return FlowReport(*(sum(column) for column in zip(*rows, strict=True)))


def shipped_checkpoint() -> Path:
    """The checkpoint that comes with the package."""
    return Path(str(files("data") / "assets" / "flow.safetensors"))


class FlowGenerator:
    """Crystals from noise by a trained flow over the fully connected periodic graph."""

    name: ClassVar[str] = "flow"
    summary: ClassVar[str] = "joint flow matching of types, coordinates and lattice on the periodic graph"

    def __init__(self, checkpoint: Path | None = None, settings: FlowSettings | None = None) -> None:
        path = checkpoint or shipped_checkpoint()
        self.settings = settings or FlowSettings()
        self.network, self.statistics = load_network(path, self.name)
        self.sampler = replace(self.settings.sampler, closest_A=self.statistics.closest_A)
        self.checkpoint_sha256: str | None = sha256(path)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels; see `generators.base.Generator`.

        A label is "" or, where every try was refused and the best is given, "close contacts".

        Raises:
            GenerationError: the condition cannot be met.
        """
        batch, labels, report = self.sample_with_report(n, condition, rng, on_step)
        logger.info("flow: %s", report)
        return batch, labels

    def sample_with_report(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str], FlowReport]:
        """As `sample`, with the acceptance at every gate.

        Raises:
            GenerationError: the condition cannot be met.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        refuse(self.name, condition, groups="use `orbits` or `template`", targets="use `orbits`")
        if n == 0:
            return CrystalBatch.from_crystals([]), [], FlowReport()
        progress = _Progress(n, on_step)
        tasks, first = [], 0
        for size in shares(n):
            part = replace(condition, contents=condition.contents[first : first + size])
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            tasks.append(partial(self._sample_part, size, part, generator, progress))
            first += size
        parts = side_by_side(tasks)
        labels = [label for _, part_labels, _ in parts for label in part_labels]
        return CrystalBatch.concatenate(batch for batch, _, _ in parts), labels, _total(r for _, _, r in parts)

    def _sample_part(
        self, n: int, condition: Condition, generator: torch.Generator, progress: _Progress
    ) -> tuple[CrystalBatch, list[str], FlowReport]:
        """Some of the samples, from composition to symmetry."""
        report, counts = FlowReport(), CompositionCounts()
        source = None
        if condition.contents:
            rows = rows_for(condition.contents, condition)
        else:
            source = source_for(self.network, self.sampler, condition, self.statistics)
            rows = source.fill(n, generator, counts) if self.settings.types == "first" else source.hidden(n, generator)
        slots = [_Slot(row) for row in rows]
        self._fill_geometry(slots, source, generator, (report, counts), progress)
        report.compositions_drawn, report.compositions_unbalanced = counts.drawn, counts.unbalanced
        report.kept_strained = sum(not slot.sane for slot in slots)
        batch = self._finish(slots, report)
        return batch, ["" if slot.sane else "close contacts" for slot in slots], report

    def _fill_geometry(
        self,
        slots: list[_Slot],
        source: CompositionSource | None,
        generator: torch.Generator,
        books: tuple[FlowReport, CompositionCounts],
        progress: _Progress,
    ) -> None:
        """Let geometries flow, and again for those that are refused, until all are sane or out of tries."""
        counts = books[1]
        # Types drawn on the way are refused far more often than geometries of types that fit.
        tries = self.settings.tries * (1 if self.settings.types == "first" else 8)
        pending = list(slots)
        while pending:
            for size in sorted({len(slot.given) for slot in pending}):
                group = [slot for slot in pending if len(slot.given) == size]
                width = max(1, min(128, self.settings.edges_per_batch // size**2))
                for start in range(0, len(group), width):
                    self._flow(group[start : start + width], source, generator, books)
            before = len(pending)
            pending = [slot for slot in pending if not slot.sane and slot.tries < tries]
            progress.add(before - len(pending))
            stuck = [slot for slot in pending if slot.tries == tries // 2]
            if source is not None and stuck:
                count = 2 * len(stuck)
                first = self.settings.types == "first"
                rows = source.draw(count, generator, counts) if first else source.hidden(count, generator)
                for slot, row in zip(stuck, rows, strict=False):
                    slot.given, slot.score = row, -1.0
        if lost := sum(not len(slot.types) for slot in slots):
            raise GenerationError(
                f"{lost} of {len(slots)} samples are not charge-neutral after {tries} tries each; allow more elements"
            )

    def _flow(
        self,
        slots: list[_Slot],
        source: CompositionSource | None,
        generator: torch.Generator,
        books: tuple[FlowReport, CompositionCounts],
    ) -> None:
        """One crystal for each slot (equal sizes), kept where it is balanced, and sane or the best so far."""
        report, counts = books
        given = torch.stack([slot.given for slot in slots])
        sampler = self.sampler if source is None else source.settings
        with torch.inference_mode():
            start = noise_for(self.network, given, sampler, generator)
            end = SAMPLERS[self.settings.method](self.network, start, sampler, generator, None)
            lattice = log_to_lattice(end.lattice)
            sane = is_sane(end.types, end.coords, lattice, self.settings.limits).tolist()
            scores = contacts(end.types, end.coords, lattice).tolist()
        report.geometries += len(slots)
        report.refused += len(slots) - sum(sane)
        for i, slot in enumerate(slots):
            slot.tries += 1
            if bool((slot.given == MASK).any()):
                counts.drawn += 1
                if source is not None and source.condition.charge_neutral and not is_neutral(end.types[i]):
                    counts.unbalanced += 1
                    continue
            if sane[i] or scores[i] > slot.score:
                slot.sane, slot.score = sane[i], scores[i]
                slot.types, slot.coords, slot.lattice = end.types[i], end.coords[i], lattice[i]

    def _finish(self, slots: list[_Slot], report: FlowReport) -> CrystalBatch:
        """Snap to symmetry where that is near, and stack."""
        coords, cells = [], []
        for slot in slots:
            frac, cell = slot.coords.double().numpy(), slot.lattice.double().numpy()
            cell = np.linalg.cholesky(cell @ cell.T)
            snapped = self._snap(slot, frac, cell)
            if snapped is not None:
                frac, cell = snapped
                report.symmetrised += 1
            coords.append(frac)
            cells.append(cell)
        return CrystalBatch(
            numbers=torch.cat([slot.types for slot in slots]).numpy(),
            frac_coords=np.concatenate(coords).astype(np.float32),
            lattice=np.stack(cells).astype(np.float32),
            batch=np.repeat(np.arange(len(slots)), [len(slot.types) for slot in slots]),
        )

    def _snap(self, slot: _Slot, frac: Floats, cell: Floats) -> tuple[Floats, Floats] | None:
        """The symmetric form of a crystal, where there is one nearby and it is as sane as before."""
        if not self.settings.symmetry_tolerances_A:
            return None
        found = symmetrise(cell, frac, slot.types.numpy(), self.settings.symmetry_tolerances_A)
        if found is None:
            return None
        sane = is_sane(
            slot.types[None],
            torch.from_numpy(found.frac_coords).float()[None],
            torch.from_numpy(found.lattice).float()[None],
            self.settings.limits,
        )
        return (found.frac_coords, found.lattice) if bool(sane[0]) or not slot.sane else None
