"""What the flow of the free numbers learns, for `generators.training.loop.train`.

Data are pairs of a start and an end on one skeleton (`pairs`), prepared in one tensor file, and every crystal
once more by itself, to start from noise of any width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file

from redoxa.data.errors import InputError
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates
from redoxa.data.symmetry.symmetric import primitive_vectors
from redoxa.data.symmetry.wyckoff import space_group
from redoxa.data.tables.datasets import split_by_formula
from redoxa.generators.checkpoint import made_from, read_tensors
from redoxa.generators.exchange.proposals import element_volumes
from redoxa.generators.geometry.flow import GeometryConfig, GeometryNetwork, save_geometry
from redoxa.generators.geometry.free_space import (
    Frame,
    FreeState,
    cell_directions,
    frame_arrays,
    place,
    project,
    strains,
)
from redoxa.generators.geometry.pairs import ALONE, Pair, alone, pairs
from redoxa.generators.training.batches import EDGES_PER_BATCH, batches_by_size
from redoxa.generators.training.kinds import Training
from redoxa.generators.training.log import OnLog
from redoxa.generators.training.loop import TrainConfig, train

STARTS = 4
"""Starts of each crystal."""

MOST_ATOMS = 24
"""Larger crystals are not trained on."""

MOVE_A, STRAIN = 0.1, 0.03
"""Errors beyond these count linearly; both cost about as much energy in a typical solid."""

NOISE = (0.02, 0.4)
"""Least and largest width of the noise, in fractional coordinates; that of the cell's shape is a third."""

EASY = 0.05
"""Width of the noise at which errors count half: else what starts from noise would be most of the loss."""

VOLUME_NOISE = 0.03
"""Width of the log volume about the true one, where it is not what the elements' own volumes say."""

FREE_START = 0.4
"""Share of crystals that are shown at the start of the way; the others evenly on it."""

_LENGTHS = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def prepare_pairs(table: TemplateTable, out: Path, holdout: int | None = None, seed: int = 0) -> None:
    """Write the pairs (safetensors), those held out whose end is: no formula is on both sides.

    Args:
        table: of templates.
        out: file to write.
        holdout: templates that are never trained on; by default those of the other networks of `orbits`.
        seed: of the split and of the starts.

    Raises:
        InputError: nothing can be learned from these.
    """
    reduced = table.compositions // np.gcd.reduce(table.compositions, axis=1)[:, None]
    held_out = split_by_formula([row.tobytes().hex() for row in reduced], holdout, seed)
    found = list(pairs(table, held_out, element_volumes(table), STARTS, MOST_ATOMS, seed))
    found += list(alone(table, MOST_ATOMS))
    if not found:
        raise InputError(
            f"geometry learns the free coordinates and cell shapes of symmetric crystals of up to {MOST_ATOMS} atoms; "
            "none is such"
        )
    frames: dict[tuple[int, str], int] = {}
    index = [frames.setdefault((pair.group, pair.letters), len(frames)) for _, _, pair in found]
    arrays = [frame_arrays(group, letters) for group, letters in frames]
    rows: list[Pair] = [pair for _, _, pair in found]

    def by_orbit(name: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([np.asarray(getattr(row, name)) for row in rows])).float()

    tensors = {
        "frame": torch.tensor(index),
        "group": torch.tensor([group for group, _ in frames]),
        "first_atom": torch.tensor(np.cumsum([0, *(len(orbit) for _, _, orbit in arrays)])),
        "shifts": torch.from_numpy(np.concatenate([shifts for shifts, _, _ in arrays])).float(),
        "slopes": torch.from_numpy(np.concatenate([slopes for _, slopes, _ in arrays])).float(),
        "orbit": torch.from_numpy(np.concatenate([orbit for _, _, orbit in arrays])),
        "primitive": torch.from_numpy(np.stack([primitive_vectors(space_group(g)) for g, _ in frames])).float(),
        "directions": torch.from_numpy(np.stack([cell_directions(g) for g, _ in frames])).float(),
        "first_orbit": torch.tensor(np.cumsum([0, *(len(row.letters) for row in rows)])),
        "numbers": by_orbit("numbers").long(),
        "start": by_orbit("start"),
        "end": by_orbit("end"),
        "start_cell": torch.from_numpy(np.stack([row.start_cell for row in rows])).float(),
        "end_cell": torch.from_numpy(np.stack([row.end_cell for row in rows])).float(),
        "template": torch.tensor([place_ for place_, _, _ in found]),
        "rank": torch.tensor([rank for _, rank, _ in found]),
        "held_out": torch.from_numpy(held_out[[place_ for place_, _, _ in found]]),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata={"table_sha256": table.sha256, "seed": str(seed)})


class GeometryTask:
    """A `generators.training.loop.Task`.

    Args:
        data: file of `prepare_pairs`.
        size: of the network.
        edges_per_batch: a batch of N-atom crystals holds about this many pairs of atoms.

    Raises:
        InputError: the data cannot be read.
    """

    name = "geometry"

    def __init__(self, data: Path, size: GeometryConfig | None = None, edges_per_batch: int = EDGES_PER_BATCH) -> None:
        self.tensors, header = read_tensors(data)
        if missing := {"frame", "start", "end", "start_cell", "end_cell"} - set(self.tensors):
            raise InputError(f"{data}: lacks {', '.join(sorted(missing))}; it is no file of pairs of geometries")
        self.size, self.edges = size or GeometryConfig(), edges_per_batch
        self.settings = {"network": json.dumps(asdict(self.size)), "table": header.get("table_sha256", "")}
        self.counts = self.tensors["first_atom"].diff()[self.tensors["frame"]].numpy()

    def network(self) -> GeometryNetwork:
        """See `Task`."""
        return GeometryNetwork(self.size)

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        rows = np.flatnonzero(~self.tensors["held_out"].numpy())
        return batches_by_size(self.counts, rows, self.edges, (seed, epoch))

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        rows = np.flatnonzero(self.tensors["held_out"].numpy())
        return batches_by_size(self.counts, rows, self.edges, (1, 0))

    def losses(
        self, network: GeometryNetwork, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`."""
        del step
        frame, lent, end = self.take(rows, generator.device)
        noise, start = self.starts(rows, frame, (lent, end), generator)
        b = len(rows)
        time = torch.rand(b, generator=generator, device=generator.device)
        early = torch.rand(b, generator=generator, device=generator.device) < FREE_START
        time = time.masked_fill(early, 0.0)
        way = FreeState(end.u - start.u, end.cell - start.cell)
        state = start.moved(way, time)
        left = FreeState(way.u * (1 - time)[:, None, None], way.cell * (1 - time)[:, None])
        wanted = displacement_of(frame, state, left)
        guess = displacement_of(frame, state, project(frame, state, *network(frame, state, time, noise)))
        far, strained = errors(guess, wanted)
        before = errors((torch.zeros_like(wanted[0]), torch.zeros_like(wanted[1])), wanted)
        lent_ = (noise == 0).float()
        terms = {
            "move_A": _mean(far.mean(1), lent_), "move_before_A": _mean(before[0].mean(1), lent_),
            "strain": _mean(strained, lent_), "strain_before": _mean(before[1], lent_),
            "noise_move_A": _mean(far.mean(1), 1 - lent_), "noise_move_before_A": _mean(before[0].mean(1), 1 - lent_),
        }  # fmt: skip
        easy = 1 + noise / EASY
        loss = _robust(far, MOVE_A * easy.unsqueeze(1)).mean(1) + _robust(strained, STRAIN * easy)
        return {"loss": loss.mean()} | terms

    def save(self, path: Path, network: GeometryNetwork) -> None:
        """See `Task`."""
        save_geometry(path, network)

    def take(self, rows: torch.Tensor, device: torch.device) -> tuple[Frame, FreeState, FreeState]:
        """Frames, lent starts and ends of pairs [B] of equally many atoms."""
        t, frames = self.tensors, self.tensors["frame"][rows]
        atoms = t["first_atom"][frames].unsqueeze(1) + torch.arange(int(self.counts[rows[0]]))
        orbits = t["first_orbit"].diff()[rows]
        place_ = torch.arange(int(orbits.max()))
        real = place_ < orbits.unsqueeze(1)
        index = torch.where(real, t["first_orbit"][rows].unsqueeze(1) + place_, 0)
        numbers = t["numbers"][index].gather(1, t["orbit"][atoms])
        frame = Frame(
            numbers, t["orbit"][atoms], t["shifts"][atoms], t["slopes"][atoms], t["primitive"][frames],
            t["directions"][frames], t["group"][frames],
        )  # fmt: skip
        mask = real.unsqueeze(-1)
        start = FreeState((t["start"][index] * mask).to(device), t["start_cell"][rows].to(device))
        end = FreeState((t["end"][index] * mask).to(device), t["end_cell"][rows].to(device))
        return frame.to(device), start, end

    def starts(
        self, rows: torch.Tensor, frame: Frame, ends: tuple[FreeState, FreeState], generator: torch.Generator
    ) -> tuple[torch.Tensor, FreeState]:
        """Widths of the noise [B], and where crystals start: the lent geometry, or the end under noise."""
        (lent, end), device = ends, generator.device

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, device=device)

        b = len(rows)
        alone_ = (self.tensors["rank"][rows] == ALONE).to(device)
        low, high = np.log(NOISE)
        width = (low + (high - low) * torch.rand(b, generator=generator, device=device)).exp()
        width = torch.where(alone_, width, 0.0)
        free = (_orbit_freedom(frame, lent.u.shape[1]) > torch.arange(3, device=device)).float()
        shape = torch.einsum("bkc,bc->bk", frame.directions, normal(b, 6)) * width.unsqueeze(1) / 3
        shape = shape - _LENGTHS.to(device) * shape[:, :3].mean(1, keepdim=True)
        known = torch.rand(b, generator=generator, device=device) < 0.5
        volume = VOLUME_NOISE * normal(b)
        own = (lent.cell - end.cell)[:, :3].sum(1)
        change = torch.where(known | alone_, volume - own, 0.0) / 3
        cell = lent.cell + shape + _LENGTHS.to(device) * change.unsqueeze(1)
        return width, FreeState(lent.u + width[:, None, None] * free * normal(*lent.u.shape), cell)


def displacement_of(frame: Frame, state: FreeState, way: FreeState) -> tuple[torch.Tensor, torch.Tensor]:
    """What a change of free numbers does: displacements [B,N,3] in Angstrom, without drift, and strains [B,3,3]."""
    _, lattice = place(frame, state)
    moves = frame.moves(way.u) @ lattice
    return moves - moves.mean(1, keepdim=True), torch.einsum("bk,bkij->bij", way.cell, strains(state.cell))


def errors(
    guess: tuple[torch.Tensor, torch.Tensor], wanted: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances of the sites [B,N] in Angstrom, and norms of the strains' differences [B]."""
    tiny = 1e-12
    far = ((guess[0] - wanted[0]).square().sum(-1) + tiny).sqrt()
    return far, ((guess[1] - wanted[1]).square().sum((1, 2)) + tiny).sqrt()


def _robust(error: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Quadratic for small errors, linear beyond the scale."""
    ratio = error / scale
    return torch.where(ratio < 1, 0.5 * ratio.square(), ratio - 0.5)


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1.0)


def _orbit_freedom(frame: Frame, orbits: int) -> torch.Tensor:
    """Free coordinates of each orbit [B,O,1]."""
    freedom = (frame.slopes.abs().amax(2) > 0).sum(-1)
    found = torch.zeros(len(frame.types), orbits, dtype=freedom.dtype, device=freedom.device)
    return found.scatter(1, frame.orbit, freedom).unsqueeze(-1)


def geometry_config(out: Path, steps: int, seed: int) -> TrainConfig:
    """How the flow of the free numbers is trained; 9,000 steps are seven epochs of the table that ships."""
    return TrainConfig(
        out, steps=steps, decay_steps=7 * steps // 10, warmup_steps=min(300, steps // 10), rate=1.5e-3,
        weight_decay=0.02, clip=3.0, ema=0.998, save_every=1000, log_every=100, seed=seed,
    )  # fmt: skip


def train_geometry(config: TrainConfig, table: Path | None, on_log: OnLog) -> Path:
    """Train the flow of the free numbers, ``geometry.safetensors``; killed and run again, it goes on where it was.

    Args:
        config: with the folder for everything.
        table: templates; by default those that ship.
        on_log: called with each log line.
    """
    templates, data = load_templates(table), config.out / "pairs.safetensors"
    if not made_from(data, templates.sha256):
        prepare_pairs(templates, data)
    return train(partial(GeometryTask, data), config, on_log, resume=True)


GEOMETRY: Final = Training(
    "geometry", 9_000, frozenset(), "templates",
    next="in Python, OrbitsGenerator(geometry=Path('{1}')) of generators.orbits.generator samples with it",
)  # fmt: skip
