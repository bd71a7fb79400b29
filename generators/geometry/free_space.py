"""The free numbers of many symmetric crystals at once, as tensors: what a network moves when it must keep the symmetry.

`free_numbers` does the same for one crystal, in double precision. Here the free coordinates stay by orbit, since
orbits share no atom: what a displacement of all atoms means in free coordinates is a small problem for each orbit. The
cell is held as logarithms of three lengths and three angles, and moves along the directions that its system leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import torch

from redoxa.data.symmetry.symmetric import (
    ANGLES,
    LENGTHS,
    Orbit,
    SymmetricCrystal,
    cell_parameters,
    crystal_system,
    n_cell_parameters,
    primitive_vectors,
    site_map,
)
from redoxa.data.symmetry.wyckoff import Floats, Integers, space_group

_STEP = 1e-3
"""For derivatives of the cell by central differences, in single precision: exact to about 1e-4."""

_RIDGE = 1e-6


@dataclass(frozen=True)
class Frame:
    """What symmetry says of B crystals of N atoms and at most O orbits: coordinates are shifts + slopes @ u[orbit].

    Attributes:
        types: atomic numbers [B,N].
        orbit: orbit of each atom [B,N].
        shifts: [B,N,3], in the primitive cell.
        slopes: [B,N,3,3], the last axis by the free coordinates of the orbit, zero beyond.
        primitive: primitive vectors in units of the conventional ones [B,3,3].
        directions: which of the six numbers of the cell move with each free one [B,6,6], zero beyond.
        groups: space groups [B].
    """

    types: torch.Tensor
    orbit: torch.Tensor
    shifts: torch.Tensor
    slopes: torch.Tensor
    primitive: torch.Tensor
    directions: torch.Tensor
    groups: torch.Tensor

    def to(self, device: torch.device) -> Frame:
        """The same elsewhere."""
        return Frame(*(getattr(self, field.name).to(device) for field in fields(self)))

    def spread(self, u: torch.Tensor) -> torch.Tensor:
        """Numbers of the orbits [B,O,3], for each atom [B,N,3]."""
        return u.gather(1, self.orbit.unsqueeze(-1).expand(-1, -1, 3))

    def moves(self, u: torch.Tensor) -> torch.Tensor:
        """Changes of the fractional coordinates [B,N,3] for changes of the free ones [B,O,3]."""
        return torch.einsum("bnik,bnk->bni", self.slopes, self.spread(u))


@dataclass(frozen=True)
class FreeState:
    """Free coordinates by orbit [B,O,3] and cell [B,6]: logarithms of a, b, c, and angles in radians."""

    u: torch.Tensor
    cell: torch.Tensor

    def moved(self, by: FreeState, share: torch.Tensor | float = 1.0) -> FreeState:
        """A share [B] of the way `by`."""
        if isinstance(share, float):
            return FreeState(self.u + share * by.u, self.cell + share * by.cell)
        return FreeState(self.u + share[:, None, None] * by.u, self.cell + share[:, None] * by.cell)


def conventional_lattice(cell: torch.Tensor) -> torch.Tensor:
    """Row vectors [B,3,3] in Angstrom of cells [B,6], a along x and b in the xy plane."""
    a, b, c = cell[:, :3].exp().unbind(1)
    cos_a, cos_b, cos_c = cell[:, 3:].cos().unbind(1)
    sin_c = cell[:, 5].sin()
    zero = torch.zeros_like(a)
    y = (cos_a - cos_b * cos_c) / sin_c
    z = (1 - cos_b.square() - y.square()).clamp_min(1e-4).sqrt()
    rows = (a, zero, zero, b * cos_c, b * sin_c, zero, c * cos_b, c * y, c * z)
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def strains(cell: torch.Tensor) -> torch.Tensor:
    """Symmetric strains [B,6,3,3] by unit of each of the six numbers of cells [B,6]."""
    step = _STEP * torch.eye(6, dtype=cell.dtype, device=cell.device)
    ahead = conventional_lattice((cell.unsqueeze(1) + step).flatten(0, 1))
    behind = conventional_lattice((cell.unsqueeze(1) - step).flatten(0, 1))
    rate = ((ahead - behind) / (2 * _STEP)).view(-1, 6, 3, 3)
    found: torch.Tensor = torch.linalg.inv(conventional_lattice(cell)).unsqueeze(1) @ rate
    return (found + found.transpose(2, 3)) / 2


def place(frame: Frame, state: FreeState) -> tuple[torch.Tensor, torch.Tensor]:
    """Fractional coordinates [B,N,3] and primitive cells [B,3,3] of a state."""
    coords = frame.shifts + frame.moves(state.u)
    return coords, frame.primitive @ conventional_lattice(state.cell)


def project(frame: Frame, state: FreeState, moves_A: torch.Tensor, strain: torch.Tensor) -> FreeState:
    """The change of free numbers that comes nearest to a displacement of all atoms and a strain.

    Least squares over the atoms of each orbit and over the components of the strain: the pseudo-inverse of the slopes.

    Args:
        frame: of the crystals.
        state: where they are.
        moves_A: Cartesian displacements [B,N,3], in the conventional cell's orientation.
        strain: symmetric [B,3,3].
    """
    _, lattice = place(frame, state)
    slopes_A = torch.einsum("bnik,bij->bnjk", frame.slopes, lattice)
    squares = _by_orbit(frame, slopes_A.transpose(2, 3) @ slopes_A, state.u)
    pulls = _by_orbit(frame, torch.einsum("bnjk,bnj->bnk", slopes_A, moves_A), state.u)
    u = _solve(squares, pulls)
    free = torch.einsum("bkij,bkc->bcij", strains(state.cell), frame.directions)
    steps = _solve(torch.einsum("bcij,bdij->bcd", free, free), torch.einsum("bcij,bij->bc", free, strain))
    return FreeState(u, torch.einsum("bkc,bc->bk", frame.directions, steps))


def _by_orbit(frame: Frame, values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Sums of the atoms' values [B,N,...] over each orbit [B,O,...]."""
    shape = (*like.shape[:2], *values.shape[2:])
    index = frame.orbit.view(*frame.orbit.shape, *[1] * (values.dim() - 2)).expand_as(values)
    return torch.zeros(shape, dtype=values.dtype, device=values.device).scatter_add(1, index, values)


def _solve(squares: torch.Tensor, pulls: torch.Tensor) -> torch.Tensor:
    """Solve squares [...,k,k] for pulls [...,k]; what is not free stays."""
    size = squares.diagonal(dim1=-2, dim2=-1)
    held = torch.diag_embed((size < _RIDGE).to(squares) + _RIDGE)
    found: torch.Tensor = torch.linalg.solve(squares + held, pulls.unsqueeze(-1)).squeeze(-1)
    return found


@cache
def padded_map(number: int, letter: str) -> tuple[Floats, Floats]:
    """`data.symmetry.symmetric.site_map` with three free coordinates, of which those that are none have no slope."""
    shifts, slopes = site_map(number, letter)
    return shifts, np.pad(slopes, ((0, 0), (0, 0), (0, 3 - slopes.shape[2])))


@cache
def cell_directions(number: int) -> Floats:
    """Which of (log a, log b, log c, alpha, beta, gamma) move with each free number of the cell [6,6], zero beyond."""
    system, found = crystal_system(number), np.zeros((6, 6))
    found[range(3), LENGTHS[system]] = 1.0
    for k, angle in enumerate(ANGLES.get(system, ())):
        found[3 + angle, 3 + k] = 1.0
    return found


def cell_of(form: SymmetricCrystal) -> Floats:
    """Logarithms of a, b, c, and angles in radians [6]."""
    cell = cell_parameters(form.group, np.array([*form.lengths_A, *form.angles_deg]))
    return np.concatenate([np.log(cell[:3]), np.radians(cell[3:])])


def free_of(form: SymmetricCrystal) -> Floats:
    """Free coordinates by orbit [O,3], zero beyond."""
    found = np.zeros((len(form.orbits), 3))
    for place_, orbit in zip(found, form.orbits, strict=True):
        place_[: len(orbit.free)] = orbit.free
    return found


def frame_arrays(group: int, letters: Sequence[str]) -> tuple[Floats, Floats, Integers]:
    """Shifts [N,3], slopes [N,3,3] and orbit [N] of the atoms on these orbits."""
    maps = [padded_map(group, letter) for letter in letters]
    orbit = np.repeat(np.arange(len(maps)), [len(shifts) for shifts, _ in maps])
    return np.concatenate([s for s, _ in maps]), np.concatenate([s for _, s in maps]), orbit


def as_tensors(forms: Sequence[SymmetricCrystal]) -> tuple[Frame, FreeState]:
    """Symmetric crystals of equally many atoms as tensors."""
    most = max(len(form.orbits) for form in forms)
    frames = [frame_arrays(form.group, [o.letter for o in form.orbits]) for form in forms]
    numbers = [
        np.array([o.number for o in form.orbits])[orbit] for form, (_, _, orbit) in zip(forms, frames, strict=True)
    ]
    u = np.zeros((len(forms), most, 3))
    for row, form in zip(u, forms, strict=True):
        row[: len(form.orbits)] = free_of(form)
    frame = Frame(
        types=torch.from_numpy(np.stack(numbers)),
        orbit=torch.from_numpy(np.stack([orbit for _, _, orbit in frames])),
        shifts=torch.from_numpy(np.stack([shifts for shifts, _, _ in frames])).float(),
        slopes=torch.from_numpy(np.stack([slopes for _, slopes, _ in frames])).float(),
        primitive=torch.from_numpy(np.stack([primitive_vectors(space_group(f.group)) for f in forms])).float(),
        directions=torch.from_numpy(np.stack([cell_directions(form.group) for form in forms])).float(),
        groups=torch.tensor([form.group for form in forms]),
    )
    return frame, FreeState(
        torch.from_numpy(u).float(), torch.from_numpy(np.stack([cell_of(f) for f in forms])).float()
    )


def as_forms(forms: Sequence[SymmetricCrystal], state: FreeState) -> list[SymmetricCrystal]:
    """The crystals with the free numbers of a state."""
    found = []
    for form, u, cell in zip(forms, state.u.double().numpy() % 1.0, state.cell.double().numpy(), strict=True):
        system = crystal_system(form.group)
        lengths = np.exp(cell[[LENGTHS[system].index(k) for k in sorted(set(LENGTHS[system]))]])
        angles = np.degrees(cell[[3 + k for k in ANGLES.get(system, ())]])
        orbits = tuple(
            Orbit(o.letter, o.number, tuple(row[: len(o.free)].tolist()))
            for o, row in zip(form.orbits, u, strict=False)
        )
        found.append(replace(form, orbits=orbits, lengths_A=tuple(lengths.tolist()), angles_deg=tuple(angles.tolist())))
    return found


def freedom(form: SymmetricCrystal) -> int:
    """Free numbers beyond the volume."""
    return sum(len(o.free) for o in form.orbits) + n_cell_parameters(form.group) - 1


def conventional_A(cell: Floats) -> Floats:
    """Row vectors [3,3] of one cell [6], see `conventional_lattice`."""
    found: Floats = conventional_lattice(torch.from_numpy(cell).unsqueeze(0))[0].numpy()
    return found


def atoms_of(form: SymmetricCrystal) -> int:
    """Atoms of the primitive cell."""
    return sum(len(site_map(form.group, orbit.letter)[0]) for orbit in form.orbits)
