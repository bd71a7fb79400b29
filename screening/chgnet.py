"""CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023; doi:10.1038/s42256-023-00716-3) with one joint gradient.

The stock calculator differentiates twice (forces, then stress) and keeps second-order graphs that only training needs.
Here one backward pass gives both, through fractional coordinates and lattice, with frozen parameters.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from pymatgen.optimization.neighbors import find_points_in_spheres

from data.errors import PotentialError
from data.records import Crystal
from screening.potential import FloatArray, PointResult, check_finite

if TYPE_CHECKING:
    from ase import Atoms
    from chgnet.graph.crystalgraph import CrystalGraph
    from chgnet.model import CHGNet

MAX_ATOMIC_NUMBER = 94
"""CHGNet's embedding ends at plutonium."""


class Chgnet:
    """CHGNet 0.3.0, trained on MPtrj: energies already hold the MP2020 corrections (never add them again)."""

    name: ClassVar[str] = "chgnet"
    model_id: ClassVar[str] = "chgnet-0.3.0"
    energy_scale: ClassVar[str] = "MP2020-corrected PBE/PBE+U"
    energy_mae_eV_per_atom: ClassVar[float] = 0.030
    checkpoint: ClassVar[str] = "0.3.0"

    def __init__(self) -> None:
        self._model = _load(self.checkpoint)
        converter = self._model.graph_converter
        self._atom_cutoff_A = float(converter.atom_graph_cutoff)
        self._bond_cutoff_A = float(converter.bond_graph_cutoff)

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy of the cell; with `forces` also forces and stress from one joint backward pass.

        Raises:
            PotentialError: elements beyond Pu, an atom without a neighbour in 6 Angstrom, or a result not finite.
        """
        numbers, frac, lattice = _arrays(crystal)
        graph = self.graph(numbers, frac, lattice)
        coords, cell = graph.atom_frac_coord, graph.lattice
        n_atoms = len(numbers)
        with torch.set_grad_enabled(forces), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # CHGNet turns the volume into a new tensor, aloud
            prediction = self._model([graph], task="em")
            energy = prediction["e"].sum() * n_atoms
        magmoms = prediction["m"][0].detach().numpy().astype(float)
        what = f"{n_atoms} atoms with Z in {sorted(set(numbers.tolist()))}"
        if not forces:
            return check_finite(PointResult(float(energy), magmoms_muB=magmoms), what)
        d_frac, d_cell = torch.autograd.grad(energy, (coords, cell))
        matrix = cell.detach().numpy().astype(float)
        # x = f L gives dE/df = dE/dx L^T; L -> L (1 + strain) at fixed f gives dE/dstrain = L^T dE/dL.
        gradient = np.linalg.solve(matrix, d_frac.numpy().astype(float).T).T
        virial = matrix.T @ d_cell.numpy().astype(float)
        stress = 0.5 * (virial + virial.T) / abs(np.linalg.det(matrix))
        return check_finite(PointResult(float(energy.detach()), -gradient, stress, magmoms), what)

    def graph(self, numbers: np.ndarray, frac: FloatArray, lattice: FloatArray) -> CrystalGraph:
        """CHGNet's atom graph (6 Angstrom) and bond graph (3 Angstrom), built with array operations.

        Args:
            numbers: atomic numbers [N].
            frac: fractional coordinates [N,3].
            lattice: row vectors in Angstrom [3,3].
        """
        from chgnet.graph.crystalgraph import CrystalGraph

        if numbers.max(initial=0) > MAX_ATOMIC_NUMBER:
            raise PotentialError(f"CHGNet knows the elements up to Pu, not Z = {numbers.max()}")
        center, neighbor, image, distance = neighbor_list(frac, lattice, self._atom_cutoff_A)
        keys = edge_keys(center, neighbor, image)
        _, position, counts = np.unique(keys, return_inverse=True, return_counts=True)
        if np.any(
            counts != 2
        ):  # rounding may leave one half of a pair that sits exactly at the cutoff, where it weighs 0
            paired = counts[position] == 2
            keys, center, neighbor = keys[paired], center[paired], neighbor[paired]
            image, distance = image[paired], distance[paired]
        if len(np.unique(center)) < len(numbers):
            raise PotentialError(f"an atom has no neighbour within {self._atom_cutoff_A:g} A")
        _, first, undirected = np.unique(keys, return_index=True, return_inverse=True)
        return CrystalGraph(
            atomic_number=torch.as_tensor(numbers, dtype=torch.int32),
            atom_frac_coord=torch.tensor(frac, dtype=torch.float32, requires_grad=True),
            atom_graph=torch.as_tensor(np.stack([center, neighbor], axis=1), dtype=torch.int32),
            atom_graph_cutoff=self._atom_cutoff_A,
            neighbor_image=torch.as_tensor(image, dtype=torch.float32),
            directed2undirected=torch.as_tensor(undirected, dtype=torch.int32),
            undirected2directed=torch.as_tensor(first, dtype=torch.int32),
            bond_graph=torch.as_tensor(
                angle_list(center, undirected, distance <= self._bond_cutoff_A), dtype=torch.int32
            ),
            bond_graph_cutoff=self._bond_cutoff_A,
            lattice=torch.tensor(lattice, dtype=torch.float32, requires_grad=True),
        )


class ChgnetR2scan(Chgnet):
    """CHGNet transfer-learned to r2SCAN energies (no MP2020 corrections); a scale of its own."""

    name: ClassVar[str] = "chgnet-r2scan"
    model_id: ClassVar[str] = "chgnet-r2scan"
    energy_scale: ClassVar[str] = "r2SCAN"
    energy_mae_eV_per_atom: ClassVar[float] = 0.015
    checkpoint: ClassVar[str] = "r2scan"


def _load(checkpoint: str) -> CHGNet:
    """Load weights from CHGNet's wheel, without its greetings, and freeze them."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from chgnet.model import CHGNet

            model = CHGNet.load(model_name=checkpoint, use_device="cpu", verbose=False)
    except (ImportError, OSError) as error:
        raise PotentialError(f"CHGNet {checkpoint} cannot be loaded ({error}); run `pip install chgnet`") from error
    model.eval()
    model.requires_grad_(False)
    return model


def _arrays(crystal: Crystal | Atoms) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Atomic numbers [N], fractional coordinates [N,3] and lattice [3,3] of a record or of ASE atoms."""
    if isinstance(crystal, Crystal):
        return np.array(crystal.numbers), np.array(crystal.frac_coords), np.array(crystal.lattice_A)
    lattice = np.array(crystal.cell, dtype=float)
    return np.array(crystal.numbers), np.linalg.solve(lattice.T, crystal.positions.T).T, lattice


def neighbor_list(
    frac: FloatArray, lattice: FloatArray, cutoff_A: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, FloatArray]:
    """All directed pairs within the cutoff: centre [E], neighbour [E], image [E,3], distance [E]."""
    points, cell, periodic = np.ascontiguousarray(frac @ lattice), np.ascontiguousarray(lattice), np.ones(3, np.int64)
    center, neighbor, image, distance = find_points_in_spheres(points, points, cutoff_A, periodic, cell, 1e-8)
    image = np.rint(image).astype(np.int64)
    keep = (center != neighbor) | image.any(axis=1)
    return center[keep], neighbor[keep], image[keep], distance[keep]


def edge_keys(center: np.ndarray, neighbor: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A number for each directed edge [E] that it shares with its reverse and with no other edge."""
    span = 2 * int(np.abs(image).max(initial=0)) + 1
    base = int(center.max(initial=0)) + 1
    weights = np.array([base * span**3, span**3, span**2, span, 1])
    shift = np.array([0, 0, span // 2, span // 2, span // 2])
    forward = np.column_stack([center, neighbor, image]) + shift
    backward = np.column_stack([neighbor, center, -image]) + shift
    return np.minimum(forward @ weights, backward @ weights)


def angle_list(center: np.ndarray, undirected: np.ndarray, short: np.ndarray) -> np.ndarray:
    """All ordered pairs of distinct short bonds that share their centre.

    Args:
        center: centre atom of each directed edge [E].
        undirected: undirected edge of each directed edge [E].
        short: bonds within the bond-graph cutoff [E].

    Returns:
        Columns centre, undirected i, directed i, undirected j, directed j [A,5].
    """
    bonds = np.flatnonzero(short)
    bonds = bonds[np.argsort(center[bonds], kind="stable")]
    _, starts, counts = np.unique(center[bonds], return_index=True, return_counts=True)
    rows = np.repeat(counts, counts)  # how many partners each bond meets, itself included
    left = np.repeat(np.arange(len(bonds)), rows)
    ends = np.cumsum(rows)
    within = np.arange(len(left)) - np.repeat(ends - rows, rows)
    right = np.repeat(np.repeat(starts, counts), rows) + within
    left, right = bonds[left[left != right]], bonds[right[left != right]]
    return np.column_stack([center[left], undirected[left], left, undirected[right], right])
