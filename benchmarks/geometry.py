"""What the flow of the free numbers does to geometries that templates lend.

python -m benchmarks.geometry pairs PAIRS [--checkpoint FILE]
python -m benchmarks.geometry energies PAIRS [--count 60]
python -m benchmarks.geometry samples [--count 40]

PAIRS is what `redoxa train --generator geometry` prepares (``pairs.safetensors``); its held-out ends have formulas of
their own. `pairs` compares geometries with the relaxed truth, `energies` relaxes both within the symmetry (`--rank -1`
for the other templates), `samples` relaxes new crystals of `orbits` with and without the flow, all atoms and the cell.
Every comparison is paired.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from cyclopts import App

from redoxa.data.errors import PotentialError, StructureError
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.base import Condition
from redoxa.generators.geometry.flow import GeometryNetwork, flow, load_geometry
from redoxa.generators.geometry.free_space import FreeState, place
from redoxa.generators.geometry.training import GeometryTask, displacement_of
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.training.batches import batches_by_size
from redoxa.screening.compute.relax import relax
from redoxa.screening.compute.symmetric_relax import relax_symmetric
from redoxa.screening.potentials.base import Potential, load_potential

app = App()

NEAREST, ANY = 0, -1


@app.command
def pairs(data: Path, checkpoint: Path | None = None, steps: tuple[int, ...] = (1, 2, 4)) -> None:
    """Distances from the truth: sites (A, root mean square of a crystal), volume and shape (strain)."""
    task, network = GeometryTask(data), load_geometry(checkpoint or shipped("geometry.safetensors"))
    for rank, name in ((NEAREST, "nearest template"), (ANY, "other templates")):
        errors = {k: np.concatenate([_errors(task, network, b, k) for b in _batches(task, rank)]) for k in (0, *steps)}
        free = errors[0][:, 0] > 1e-4
        for k, found in errors.items():
            change = found[free, 0] - errors[0][free, 0]
            print(
                f"{name}, {k} steps: sites {_of(found[free, 0])} A (change {_of(change)}, "
                f"{(change < 0).mean():.2f} nearer), volume {_of(found[:, 1])}, shape {_of(found[:, 2])}"
            )


@app.command
def energies(data: Path, checkpoint: Path | None = None, count: int = 60, steps: int = 2, rank: int = NEAREST) -> None:
    """CHGNet within the symmetry: energy above the lowest of both ends (eV/atom), calls."""
    task, network = GeometryTask(data), load_geometry(checkpoint or shipped("geometry.safetensors"))
    potential, rows = load_potential(), []
    for lent, better in _ends(task, network, rank, count, steps):
        try:
            rows.append([*_relaxed_within(lent, potential), *_relaxed_within(better, potential)])
        except PotentialError:
            continue
    found = np.array(rows)
    least = np.minimum(found[:, 1], found[:, 4])
    for name, first in (("lent", 0), ("after the flow", 3)):
        above, end = found[:, first] - least, found[:, first + 1] - least
        print(
            f"{name}: {_of(above)} eV/atom above, median {np.median(above):.4f}; end {_of(end)}; "
            f"calls {_of(found[:, first + 2])}"
        )
    change = found[:, 3] - found[:, 0]
    print(
        f"n {len(found)}, change of the energy {_of(change)}, lower {(change < 0).mean():.2f}, "
        f"calls {_of(found[:, 5] - found[:, 2])}"
    )


@app.command
def samples(checkpoint: Path | None = None, count: int = 40, seed: int = 0, full: bool = True) -> None:
    """New crystals of `orbits`, each in the lent geometry and after the flow: energy drop (eV/atom) and RMSD (A)."""
    generator = OrbitsGenerator(geometry=checkpoint)
    kept: list[tuple[SymmetricCrystal, SymmetricCrystal]] = []

    def refine(forms: Sequence[SymmetricCrystal]) -> list[SymmetricCrystal]:
        found = generator.flow.refine(forms)
        kept.extend(zip(forms, found, strict=True))
        return found

    generator.de_novo.refine = refine
    started = time.process_time()
    crystals = {
        str(f.crystal.frac_coords): f for f in generator.de_novo.draw(Condition(), count, np.random.default_rng(seed))
    }
    print(f"{count} drawn in {time.process_time() - started:.1f} s")
    potential, rows = load_potential(), []
    for before, after in kept:
        try:
            if str(after.to_crystal().frac_coords) in crystals:
                rows.append([*_dropped(before, potential, full), *_dropped(after, potential, full)])
        except (StructureError, PotentialError):
            continue
    found = np.array(rows)
    for name, first in (("lent", 0), ("after the flow", 2)):
        drop, far = found[:, first], found[:, first + 1]
        print(
            f"{name}: drop {_of(drop)}, median {np.median(drop):.4f} eV/atom; "
            f"RMSD {_of(far)}, median {np.median(far):.4f} A"
        )
    change = found[:, 2] - found[:, 0]
    print(
        f"n {len(found)}, change of the drop {_of(change)}, smaller {(change < 0).mean():.2f}; "
        f"RMSD {_of(found[:, 3] - found[:, 1])}"
    )


def _dropped(form: SymmetricCrystal, potential: Potential, full: bool) -> tuple[float, float]:
    """Energy drop on relaxation (eV/atom), and the root mean square distance of the sites (A)."""
    start = form.to_crystal()
    found = relax(start, potential) if full else relax_symmetric(form, potential)
    ways = np.array(found.crystal.frac_coords) - np.array(start.frac_coords)
    ways -= np.round(ways)
    ways -= ways.mean(0)
    far = math.sqrt(((ways @ np.array(start.lattice_A)) ** 2).sum(1).mean())
    return (found.start_energy_eV - found.energy_eV) / len(start.numbers), far


def _relaxed_within(form: SymmetricCrystal, potential: Potential) -> tuple[float, float, float]:
    """Energies at the start and at the end (eV/atom), and calls of the potential."""
    found, atoms = relax_symmetric(form, potential), len(form.to_crystal().numbers)
    return found.start_energy_eV / atoms, found.energy_eV / atoms, float(found.force_calls)


def _batches(task: GeometryTask, rank: int) -> list[torch.Tensor]:
    rows = np.flatnonzero((task.tensors["held_out"] & (task.tensors["rank"] == rank)).numpy())
    return batches_by_size(task.counts, rows, task.edges, (0,))


def _errors(task: GeometryTask, network: GeometryNetwork, rows: torch.Tensor, steps: int) -> Floats:
    """Root mean square displacement, log volume ratio and norm of the shear from the truth [B,3]."""
    frame, start, end = task.take(rows, torch.device("cpu"))
    with torch.inference_mode():
        found = flow(network, frame, start, torch.zeros(len(rows)), steps)
        moves, strain = displacement_of(frame, end, FreeState(found.u - end.u, found.cell - end.cell))
    shape = strain - torch.eye(3) * strain.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    volume = (found.cell - end.cell)[:, :3].sum(1).abs()
    return torch.stack([moves.square().sum(2).mean(1).sqrt(), volume, shape.square().sum((1, 2)).sqrt()], dim=1).numpy()


def _ends(
    task: GeometryTask, network: GeometryNetwork, rank: int, count: int, steps: int
) -> Iterator[list[SymmetricCrystal]]:
    """Held-out starts that have free coordinates, in random order, without the flow and after it."""
    t = task.tensors
    way = (t["start"] - t["end"]).abs().sum(1)
    rows = np.random.default_rng(0).permutation(np.flatnonzero((t["held_out"] & (t["rank"] == rank)).numpy()))
    moving = [r for r in rows if way[t["first_orbit"][r] : t["first_orbit"][r + 1]].sum() > 1e-3]
    for row in moving[:count]:
        frame, start, _ = task.take(torch.tensor([row]), torch.device("cpu"))
        with torch.inference_mode():
            states = start, flow(network, frame, start, torch.zeros(1), steps)
        placed = [place(frame, state) for state in states]
        numbers = tuple(frame.types[0].tolist())
        yield [
            symmetric(Crystal(numbers=numbers, frac_coords=c[0].tolist(), lattice_A=x[0].tolist())) for c, x in placed
        ]


def _of(values: Floats) -> str:
    return f"{values.mean():.4f} +- {values.std() / math.sqrt(len(values)):.4f}"


if __name__ == "__main__":
    app()
