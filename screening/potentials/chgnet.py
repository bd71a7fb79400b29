"""CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023; doi:10.1038/s42256-023-00716-3) with one joint gradient.

The stock calculator differentiates twice (forces, then stress) and keeps second-order graphs that only training needs.
Here one backward pass gives both, through fractional coordinates and lattice, with frozen parameters.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pymatgen.optimization.neighbors import find_points_in_spheres

from redoxa.data.errors import PotentialError, StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.site_symmetry import SiteSymmetry
from redoxa.screening.potentials.base import FloatArray, PointResult, check_finite
from redoxa.screening.potentials.chgnet_network import ChgnetNetwork, EdgeIndex
from redoxa.screening.potentials.symmetric_edges import symmetric_edges

if TYPE_CHECKING:
    from ase import Atoms
IntArray = npt.NDArray[np.int64]

MAX_ATOMIC_NUMBER = 94
"""CHGNet's embedding ends at plutonium."""

MIN_VOLUME_A3_PER_ATOM = 1.0
"""Denser than any crystal by far; guards against neighbour lists without end."""


class Chgnet:
    """CHGNet 0.3.0, trained on MPtrj: energies already hold the MP2020 corrections (never add them again)."""

    name: ClassVar[str] = "chgnet"
    model_id: ClassVar[str] = "chgnet-0.3.0"
    energy_scale: ClassVar[str] = "MP2020-corrected PBE/PBE+U"
    energy_mae_eV_per_atom: ClassVar[float] = 0.030
    checkpoint: ClassVar[str] = "0.3.0"

    def __init__(self) -> None:
        self._network = load_network(self.checkpoint)

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy of the cell; with `forces` also forces and stress from one joint backward pass.

        Raises:
            PotentialError: elements beyond Pu, an atom without a neighbour in 6 Angstrom, or a result not finite.
        """
        numbers, frac, lattice = _arrays(crystal)
        edges = edge_index(numbers, frac, lattice, self._network.atom_cutoff_A, self._network.bond_cutoff_A)
        return self._evaluate(numbers, frac, lattice, edges, forces)

    def compute_symmetric(self, crystal: Crystal | Atoms, symmetry: SiteSymmetry) -> PointResult:
        """The same for a crystal of that symmetry, from one each of equivalent atoms, bonds and angles.

        Raises:
            PotentialError: as `compute` does.
        """
        numbers, frac, lattice = _arrays(crystal)
        check_cell(numbers, lattice)
        starts, cutoff_A = symmetry.representatives, self._network.atom_cutoff_A
        pairs = neighbor_list(frac, lattice, cutoff_A, starts)
        if len(np.unique(pairs[0])) < len(starts):
            raise PotentialError(f"an atom has no neighbour within {cutoff_A:g} A")
        try:
            edges = symmetric_edges(symmetry, frac, pairs, self._network.bond_cutoff_A)
        except StructureError:
            return self.compute(crystal)
        point = self._evaluate(numbers[starts], frac, lattice, edges, forces=True)
        if point.forces_eV_A is None or point.stress_eV_A3 is None or point.magmoms_muB is None:
            return point
        forces_eV_A, stress_eV_A3 = symmetry.averaged(point.forces_eV_A, point.stress_eV_A3, lattice)
        return PointResult(point.energy_eV, forces_eV_A, stress_eV_A3, point.magmoms_muB[symmetry.orbits])

    def _evaluate(
        self, numbers: IntArray, frac: FloatArray, lattice: FloatArray, edges: EdgeIndex, forces: bool
    ) -> PointResult:
        """The network on its graphs; atomic numbers and moments are those of the nodes, forces those of all atoms."""
        what = f"{len(frac)} atoms with Z in {sorted(set(numbers.tolist()))}"
        coords = torch.tensor(frac, dtype=torch.float32, requires_grad=forces)
        cell = torch.tensor(lattice, dtype=torch.float32, requires_grad=forces)
        with torch.set_grad_enabled(forces):
            energy, moments, composition_eV = self._network(torch.as_tensor(numbers), coords, cell, edges)
        total_eV = float(energy.detach()) + composition_eV
        magmoms = moments.detach().numpy().astype(float)
        if not forces:
            return check_finite(PointResult(total_eV, magmoms_muB=magmoms), what)
        d_frac, d_cell = (g.numpy().astype(float) for g in torch.autograd.grad(energy, (coords, cell)))
        # x = f L gives dE/df = dE/dx L^T; L -> L (1 + strain) at fixed f gives dE/dstrain = L^T dE/dL.
        gradient = np.linalg.solve(lattice, d_frac.T).T
        virial = lattice.T @ d_cell
        stress = 0.5 * (virial + virial.T) / abs(np.linalg.det(lattice))
        return check_finite(PointResult(total_eV, -gradient, stress, magmoms), what)


class ChgnetR2scan(Chgnet):
    """CHGNet transfer-learned to r2SCAN energies (no MP2020 corrections); a scale of its own."""

    name: ClassVar[str] = "chgnet-r2scan"
    model_id: ClassVar[str] = "chgnet-r2scan"
    energy_scale: ClassVar[str] = "r2SCAN"
    energy_mae_eV_per_atom: ClassVar[float] = 0.015
    checkpoint: ClassVar[str] = "r2scan"


def load_network(checkpoint: str) -> ChgnetNetwork:
    """Load weights from CHGNet's wheel, as plain tensors; CHGNet itself is not imported (it takes longer than torch).

    Raises:
        PotentialError: the package or the checkpoint is missing, or of another architecture.
    """
    package = find_spec("chgnet")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    files = [f for folder in folders for f in Path(folder, "pretrained", checkpoint).glob("*.pth.tar")]
    if len(files) != 1:
        raise PotentialError(f"CHGNet {checkpoint} is not installed; run `pip install chgnet`")
    try:
        model = torch.load(files[0], map_location="cpu", weights_only=True)["model"]
        return ChgnetNetwork(model["state_dict"], model["model_args"])
    except (OSError, RuntimeError, KeyError, ValueError, UnpicklingError) as error:
        raise PotentialError(f"CHGNet {checkpoint} cannot be loaded from {files[0]}: {error}") from error


def _arrays(crystal: Crystal | Atoms) -> tuple[IntArray, FloatArray, FloatArray]:
    """Atomic numbers [N], fractional coordinates [N,3] and lattice [3,3] of a record or of ASE atoms."""
    if isinstance(crystal, Crystal):
        return np.array(crystal.numbers), np.array(crystal.frac_coords), np.array(crystal.lattice_A)
    lattice = np.array(crystal.cell, dtype=float)
    return np.array(crystal.numbers), np.linalg.solve(lattice.T, crystal.positions.T).T, lattice


def check_cell(numbers: IntArray, lattice: FloatArray) -> None:
    """Refuse what has no graph.

    Raises:
        PotentialError: an element beyond CHGNet's table, or a cell without volume.
    """
    if numbers.max(initial=0) > MAX_ATOMIC_NUMBER:
        raise PotentialError(f"CHGNet knows the elements up to Pu, not Z = {numbers.max()}")
    if not abs(np.linalg.det(lattice)) > MIN_VOLUME_A3_PER_ATOM * len(numbers):
        raise PotentialError(
            f"a volume of {abs(np.linalg.det(lattice)):.3g} A^3 for {len(numbers)} atoms is no crystal"
        )


def edge_index(
    numbers: IntArray, frac: FloatArray, lattice: FloatArray, atom_cutoff_A: float, bond_cutoff_A: float
) -> EdgeIndex:
    """CHGNet's atom graph and bond graph, built with array operations.

    Args:
        numbers: atomic numbers [N].
        frac: fractional coordinates [N,3].
        lattice: row vectors in Angstrom [3,3].
        atom_cutoff_A: reach of the atom graph.
        bond_cutoff_A: longest bond that takes part in angles.

    Raises:
        PotentialError: an element beyond CHGNet's table, a cell without volume, or an isolated atom.
    """
    check_cell(numbers, lattice)
    center, neighbor, image, distance = neighbor_list(frac, lattice, atom_cutoff_A)
    keys = edge_keys(center, neighbor, image)
    _, first, undirected, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if np.any(counts != 2):  # rounding can lose one half of a pair that sits exactly at the cutoff, where it weighs 0
        paired = counts[undirected] == 2
        keys, center, neighbor = keys[paired], center[paired], neighbor[paired]
        image, distance = image[paired], distance[paired]
        _, first, undirected = np.unique(keys, return_index=True, return_inverse=True)
    if len(np.unique(center)) < len(numbers):
        raise PotentialError(f"an atom has no neighbour within {atom_cutoff_A:g} A")
    short = np.flatnonzero(distance[first] <= bond_cutoff_A)
    rank = np.full(len(first), -1)
    rank[short] = np.arange(len(short))
    legs = np.flatnonzero(rank[undirected] >= 0)
    left, right = angle_pairs(center[legs])
    bond = rank[undirected[legs]]
    return EdgeIndex(
        center=torch.as_tensor(center),
        neighbor=torch.as_tensor(neighbor),
        undirected=torch.as_tensor(undirected),
        bond_center=torch.as_tensor(center[first]),
        bond_neighbor=torch.as_tensor(neighbor[first]),
        bond_image=torch.as_tensor(image[first], dtype=torch.float32),
        short=torch.as_tensor(short),
        leg_node=torch.as_tensor(center[legs]),
        leg_center=torch.as_tensor(center[legs]),
        leg_neighbor=torch.as_tensor(neighbor[legs]),
        leg_image=torch.as_tensor(image[legs], dtype=torch.float32),
        leg_bond=torch.as_tensor(bond),
        angle_leg=torch.as_tensor(left),
        angle_other=torch.as_tensor(right),
        angle_i=torch.as_tensor(bond[left]),
        angle_j=torch.as_tensor(bond[right]),
    )


def neighbor_list(
    frac: FloatArray, lattice: FloatArray, cutoff_A: float, starts: IntArray | None = None
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Directed pairs within the cutoff, all or those of the atoms `starts`.

    Returns:
        Centre [E], neighbour [E], image [E,3], distance [E].
    """
    points, cell, periodic = np.ascontiguousarray(frac @ lattice), np.ascontiguousarray(lattice), np.ones(3, np.int64)
    centers = points if starts is None else points[starts]
    center, neighbor, image, distance = find_points_in_spheres(points, centers, cutoff_A, periodic, cell, 1e-8)
    center = center if starts is None else starts[center]
    image = np.rint(image).astype(np.int64)
    keep = (center != neighbor) | image.any(axis=1)
    return center[keep], neighbor[keep], image[keep], distance[keep]


def edge_keys(center: IntArray, neighbor: IntArray, image: IntArray) -> IntArray:
    """A number for each directed edge [E] that it shares with its reverse and with no other edge."""
    span = 2 * int(np.abs(image).max(initial=0)) + 1
    base = int(center.max(initial=0)) + 1
    weights = np.array([base * span**3, span**3, span**2, span, 1])
    shift = np.array([0, 0, span // 2, span // 2, span // 2])
    forward = np.column_stack([center, neighbor, image]) + shift
    backward = np.column_stack([neighbor, center, -image]) + shift
    keys: IntArray = np.minimum(forward @ weights, backward @ weights)
    return keys


def angle_pairs(center: IntArray) -> tuple[IntArray, IntArray]:
    """All ordered pairs of distinct edges [n] that share their centre: first and second edge of each angle [A]."""
    order = np.argsort(center, kind="stable")
    _, starts, counts = np.unique(center[order], return_index=True, return_counts=True)
    rows = np.repeat(counts, counts)  # how many partners each edge meets, itself included
    left = np.repeat(np.arange(len(center)), rows)
    ends = np.cumsum(rows)
    within = np.arange(len(left)) - np.repeat(ends - rows, rows)
    right = np.repeat(np.repeat(starts, counts), rows) + within
    distinct = left != right
    return order[left[distinct]], order[right[distinct]]
