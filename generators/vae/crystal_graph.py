"""Crystals as torch-geometric graphs: an edge to every neighbour, periodic images included, and its length.

Neighbours lie within a reach that is measured in mean spacings of the atoms, about twenty of them, whatever the size of
the atoms. Lengths alone describe the geometry, so that nothing read from the graph depends on cell, origin or axes.
"""

from __future__ import annotations

import torch
from torch_geometric.data import Batch, Data

from redoxa.data.crystal import CrystalBatch
from redoxa.generators.graph import pair_distances

REACH = 1.7
"""Largest length of an edge, in units of the cube root of the volume by atom."""


def graphs_of(crystals: CrystalBatch) -> list[Data]:
    """One graph a crystal, cells reduced or nearly so.

    Returns:
        Graphs with `z` [N], `edge_index` [2,E] and `length` [E], in units of the reach: 0 to 1.
    """
    return [_graph(data) for data in crystals.to_pyg().to_data_list()]


def _graph(data: Data) -> Data:
    lattice, count = data.lattice[0], len(data.z)
    reach = REACH * (torch.linalg.det(lattice).abs() / count) ** (1 / 3)
    lengths = pair_distances(data.frac_coords[None], lattice[None])[0] / reach
    to, source, image = torch.nonzero(lengths < 1.0, as_tuple=True)
    return Data(z=data.z, edge_index=torch.stack([source, to]), length=lengths[to, source, image], num_nodes=count)


def joined(graphs: list[Data], device: torch.device) -> Batch:
    """Graphs as one batch on a device."""
    batch: Batch = Batch.from_data_list(graphs).to(device)
    return batch
