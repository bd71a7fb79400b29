"""CHGNet's network arranged for inference on one crystal: the same function of the same weights, fewer operations.

Exact rearrangements only: the first linear map of each gated layer acts on atoms and bonds before they are gathered
(not on their copies for every edge and angle), bond convolutions see only the bonds that are in the bond graph, and the
last angle update, whose result nothing reads, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

ARCHITECTURE: Final[Mapping[str, object]] = {
    "non_linearity": "silu", "gMLP_norm": "layer", "readout_norm": "layer", "mlp_first": True, "read_out": "ave",
    "is_intensive": True, "update_bond": True, "update_angle": True, "angle_layer_hidden_dim": 0,
}  # fmt: skip
"""What this file rearranges; CHGNet 0.3.0 and r2scan are built so."""


@dataclass(frozen=True)
class Counts:
    """How many equivalent atoms, edges of one centre and angles of one bond each that is computed stands for.

    Attributes:
        atoms: float [nodes,1].
        edges: float [E,1].
        angles: float [A,1].
    """

    atoms: Tensor
    edges: Tensor
    angles: Tensor


@dataclass(frozen=True)
class EdgeIndex:
    """Neighbours of one crystal. E directed edges, U = E/2 undirected bonds, S short ones among them, A angles.

    Nodes are the atoms, or with `counts` the orbits of a symmetric crystal; then one each of equivalent edges, bonds
    and angles is here, and 2S is no longer the number of legs.

    Attributes:
        center: node at the centre of each directed edge, int64 [E].
        neighbor: node at its other end, int64 [E].
        undirected: bond of each directed edge, int64 [E].
        bond_center: centre atom of each bond in its stored direction, int64 [U].
        bond_neighbor: neighbouring atom likewise, int64 [U].
        bond_image: cell of the neighbour likewise, float [U,3].
        short: bonds in the bond graph, int64 [S].
        leg_node: node at the centre of each short directed edge, int64 [2S].
        leg_center: its centre atom, int64 [2S].
        leg_neighbor: its neighbour, int64 [2S].
        leg_image: cell of that neighbour, float [2S,3].
        leg_bond: its bond, an index into `short`, int64 [2S].
        angle_leg: first leg of each angle, an index into the 2S short directed edges, int64 [A].
        angle_other: second leg likewise, int64 [A].
        angle_i: bond of the first leg, an index into `short`, int64 [A].
        angle_j: bond of the second leg likewise, int64 [A].
        counts: what is summed more than once; None where all is there.
    """

    center: Tensor
    neighbor: Tensor
    undirected: Tensor
    bond_center: Tensor
    bond_neighbor: Tensor
    bond_image: Tensor
    short: Tensor
    leg_node: Tensor
    leg_center: Tensor
    leg_neighbor: Tensor
    leg_image: Tensor
    leg_bond: Tensor
    angle_leg: Tensor
    angle_other: Tensor
    angle_i: Tensor
    angle_j: Tensor
    counts: Counts | None = None


Weights = Mapping[str, Tensor]


class _Gate:
    """Gated perceptron, silu(core) * sigmoid(gate), both halves side by side: half as many operations."""

    def __init__(self, weights: Weights, name: str, blocks: int) -> None:
        cores, gates = (_linears(weights, f"{name}.mlp_{half}") for half in ("core", "gate"))
        first = torch.cat([cores[0][0], gates[0][0]])
        self.blocks = [w.T.contiguous() for w in first.chunk(blocks, dim=1)]
        self.bias = torch.cat([cores[0][1], gates[0][1]])
        self.second = [half[1] for half in (cores, gates) if len(half) > 1]
        self.norms = [(weights[f"{name}.{n}.weight"], weights[f"{name}.{n}.bias"]) for n in ("bn1", "bn2")]

    def over_edges(self, atoms: Tensor, bonds: Tensor, edges: EdgeIndex) -> Tensor:
        """On centre, bond and neighbour of each directed edge [E,d]."""
        at_center, on_bond, at_neighbor = self.blocks
        total = torch.addmm(self.bias, atoms, at_center).index_select(0, edges.center)
        total += (bonds @ on_bond).index_select(0, edges.undirected)
        total += (atoms @ at_neighbor).index_select(0, edges.neighbor)
        return self._finish(total)

    def over_angles(self, atoms: Tensor, short: Tensor, angles: Tensor, edges: EdgeIndex) -> Tensor:
        """On both legs, the angle and its corner atom [A,d]."""
        leg_i, leg_j, on_angle, at_corner = self.blocks
        leg = torch.addmm(self.bias, atoms, at_corner).index_select(0, edges.leg_node)
        leg += (short @ leg_i).index_select(0, edges.leg_bond)
        total = torch.addmm(leg.index_select(0, edges.angle_leg), angles, on_angle)
        total += (short @ leg_j).index_select(0, edges.angle_j)
        return self._finish(total)

    def _finish(self, mixed: Tensor) -> Tensor:
        """From the summed block products of both halves (bias included) [n,2h] to the output [n,d]."""
        if self.second:
            hidden = functional.silu(mixed).chunk(2, dim=1)
            halves = [functional.linear(h, *second) for h, second in zip(hidden, self.second, strict=True)]
        else:
            halves = list(mixed.chunk(2, dim=1))
        core, gate = (functional.layer_norm(h, h.shape[1:], *norm) for h, norm in zip(halves, self.norms, strict=True))
        return functional.silu(core) * torch.sigmoid(gate)


class ChgnetNetwork:
    """Energy and magnetic moments of one crystal from a checkpoint of CHGNet.

    Args:
        weights: state of the model, as its checkpoint holds it.
        arguments: constructor arguments of the model, from the same checkpoint.

    Raises:
        ValueError: a checkpoint of another architecture than CHGNet 0.3.0's.
    """

    def __init__(self, weights: Weights, arguments: Mapping[str, object]) -> None:
        if other := {k: arguments.get(k) for k, v in ARCHITECTURE.items() if arguments.get(k) != v}:
            raise ValueError(f"a CHGNet of another architecture: {other}")
        if any("mlp_out" in key and key.endswith("bias") for key in weights):
            raise ValueError("a CHGNet of another architecture: output maps with bias (0.2.0 and older)")
        self.atom_cutoff_A, self.bond_cutoff_A = (float(str(arguments[f"{x}_graph_cutoff"])) for x in ("atom", "bond"))
        power = int(str(arguments["cutoff_coeff"]))
        self.embedding = weights["atom_embedding.embedding.weight"]
        self.reference = weights["composition_model.fc.weight"].reshape(-1).double()
        radial = "bond_basis_expansion.rbf_expansion_{}.frequencies"
        self.radial_atoms = _Radial(weights[radial.format("ag")], self.atom_cutoff_A, power)
        self.radial_bonds = _Radial(weights[radial.format("bg")], self.bond_cutoff_A, power)
        self.angular = weights["angle_basis_expansion.fourier_expansion.frequencies"]
        self.bond_embedding = weights["bond_embedding.weight"]
        self.atom_weights = weights["bond_weights_ag.weight"]
        self.bond_weights = weights["bond_weights_bg.weight"]
        self.angle_embedding = weights["angle_embedding.weight"]
        atoms, bonds, angles = (f"{x}_layers.{{}}" for x in ("atom_conv", "bond_conv", "angle"))
        steps = int(str(arguments["n_conv"]))
        self.atom_layers = [_layer(weights, atoms.format(i), "twoBody_atom", 3) for i in range(steps)]
        self.bond_layers = [_layer(weights, bonds.format(i), "twoBody_bond", 4) for i in range(steps - 1)]
        self.angle_layers = [_Gate(weights, f"{angles.format(i)}.twoBody_bond", 4) for i in range(steps - 2)]
        self.site_wise = weights["site_wise.weight"], weights["site_wise.bias"]
        self.readout_norm = weights["readout_norm.weight"], weights["readout_norm.bias"]
        self.readout = _linears(weights, "mlp")

    def __call__(
        self, numbers: Tensor, frac: Tensor, lattice: Tensor, edges: EdgeIndex
    ) -> tuple[Tensor, Tensor, float]:
        """Evaluate.

        Args:
            numbers: atomic numbers of the nodes, int64 [nodes].
            frac: fractional coordinates of all atoms, float32 [N,3].
            lattice: row vectors in Angstrom, float32 [3,3].
            edges: neighbours at this geometry.

        Returns:
            Interaction energy in eV (differentiable, scalar), magnetic moments in mu_B [nodes], and the composition's
            part of the energy in eV, kept apart in double precision.
        """
        positions = frac @ lattice
        lengths = _vectors(positions, lattice, edges.bond_center, edges.bond_neighbor, edges.bond_image).norm(dim=1)
        radial = self.radial_atoms(lengths)
        bonds = functional.linear(radial, self.bond_embedding)
        weights = functional.linear(radial, self.atom_weights).index_select(0, edges.undirected)
        if edges.counts is not None:
            weights = weights * edges.counts.edges
        atoms = self.embedding.index_select(0, numbers - 1)
        with_angles = len(edges.angle_i) > 0
        angles, pair_weights = self._angles(positions, lattice, lengths, edges) if with_angles else (atoms, atoms)
        for step, (gate, bond_out) in enumerate(self.bond_layers):
            atoms = self._atom_step(step, atoms, bonds, weights, edges)
            if not with_angles:
                continue
            short = bonds.index_select(0, edges.short)
            update = gate.over_angles(atoms, short, angles, edges) * pair_weights
            summed = torch.zeros_like(short).index_add(0, edges.angle_i, update)
            bonds = bonds.index_add(0, edges.short, functional.linear(summed, bond_out))
            if step < len(self.angle_layers):
                following = self.angle_layers[step]
                short = bonds.index_select(0, edges.short)
                angles = angles + following.over_angles(atoms, short, angles, edges)
        magmoms = functional.linear(atoms, *self.site_wise).abs().reshape(-1)
        atoms = self._atom_step(len(self.bond_layers), atoms, bonds, weights, edges)
        atoms = functional.layer_norm(atoms, atoms.shape[1:], *self.readout_norm)
        for weight, bias in self.readout[:-1]:
            atoms = functional.silu(functional.linear(atoms, weight, bias))
        energies, reference = functional.linear(atoms, *self.readout[-1]), self.reference[numbers - 1, None]
        if edges.counts is not None:
            energies, reference = energies * edges.counts.atoms, reference * edges.counts.atoms
        return energies.sum(), magmoms, float(reference.sum())

    def _angles(self, positions: Tensor, lattice: Tensor, lengths: Tensor, edges: EdgeIndex) -> tuple[Tensor, Tensor]:
        """Angle features [A,d] and the product of both legs' smooth weights [A,d], times the angle's count."""
        legs = _vectors(positions, lattice, edges.leg_center, edges.leg_neighbor, edges.leg_image)
        units = legs / legs.norm(dim=1)[:, None]
        cosine = torch.sum(units.index_select(0, edges.angle_leg) * units.index_select(0, edges.angle_other), dim=1)
        phase = torch.outer(torch.acos(cosine * (1 - 1e-6)), self.angular)
        constant = phase.new_full((len(phase), 1), 1 / math.sqrt(2))
        basis = torch.cat([constant, torch.sin(phase), torch.cos(phase)], dim=1) / math.sqrt(math.pi)
        weights = functional.linear(self.radial_bonds(lengths.index_select(0, edges.short)), self.bond_weights)
        pair = weights.index_select(0, edges.angle_i) * weights.index_select(0, edges.angle_j)
        if edges.counts is not None:
            pair = pair * edges.counts.angles
        return functional.linear(basis, self.angle_embedding), pair

    def _atom_step(self, step: int, atoms: Tensor, bonds: Tensor, weights: Tensor, edges: EdgeIndex) -> Tensor:
        """One atom convolution with its residual [N,d]."""
        gate, out = self.atom_layers[step]
        messages = gate.over_edges(atoms, bonds, edges) * weights
        messages = torch.zeros_like(atoms).index_add(0, edges.center, messages)
        return atoms + functional.linear(messages, out)


class _Radial:
    """Bessel functions under a polynomial envelope (arXiv:2003.03123) [n] -> [n, num_radial]."""

    def __init__(self, frequencies: Tensor, cutoff_A: float, power: int) -> None:
        self.frequencies, self.cutoff_A, self.power = frequencies, cutoff_A, power
        self.norm = math.sqrt(2 / cutoff_A)

    def __call__(self, lengths: Tensor) -> Tensor:
        x, p = lengths[:, None] / self.cutoff_A, self.power
        envelope = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
        envelope = torch.where(x < 1, envelope, torch.zeros_like(x))
        return envelope * (self.norm * torch.sin(self.frequencies * x) / lengths[:, None])


def _vectors(positions: Tensor, lattice: Tensor, center: Tensor, neighbor: Tensor, image: Tensor) -> Tensor:
    """From each neighbour to its centre [n,3], rounded as stock CHGNet rounds.

    The angle of nearly straight bonds magnifies the last bit of a position by orders of magnitude, so another order of
    operations would give forces that differ from stock by more than 1e-4 eV/Angstrom.
    """
    return positions.index_select(0, center) - (positions.index_select(0, neighbor) + image @ lattice)


def _layer(weights: Weights, name: str, gate: str, blocks: int) -> tuple[_Gate, Tensor]:
    """Gate and output map of a convolution."""
    return _Gate(weights, f"{name}.{gate}", blocks), weights[f"{name}.mlp_out.layers.1.weight"]


def _linears(weights: Weights, mlp: str) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of a perceptron's linear maps, in order."""
    prefix, suffix = f"{mlp}.layers.", ".weight"
    places = sorted(int(k[len(prefix) : -len(suffix)]) for k in weights if k.startswith(prefix) and k.endswith(suffix))
    return [(weights[f"{prefix}{i}.weight"], weights[f"{prefix}{i}.bias"]) for i in places]
