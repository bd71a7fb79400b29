"""Many crystals as arrays: in, out, joined, and as graphs."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.crystal import CrystalBatch
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import load_prototypes

CRYSTALS = [entry.crystal for entry in load_prototypes()[:5]]


def close(a: Crystal, b: Crystal) -> bool:
    """Equal within single precision."""
    same = [np.allclose(x, y, atol=1e-5) for x, y in ((a.frac_coords, b.frac_coords), (a.lattice_A, b.lattice_A))]
    return a.numbers == b.numbers and all(same)


def test_crystals_come_back_in_order() -> None:
    batch = CrystalBatch.from_crystals(CRYSTALS)
    assert len(batch) == 5
    assert batch.counts.tolist() == [c.n_atoms for c in CRYSTALS]
    assert batch.frac_coords.shape == (sum(c.n_atoms for c in CRYSTALS), 3)
    assert all(close(a, b) for a, b in zip(batch, CRYSTALS, strict=True))


def test_joined_batches_are_one() -> None:
    parts = [CrystalBatch.from_crystals(x) for x in (CRYSTALS[:2], [], CRYSTALS[2:])]
    assert CrystalBatch.concatenate(parts).to_crystals() == CrystalBatch.from_crystals(CRYSTALS).to_crystals()
    assert len(CrystalBatch.concatenate([])) == 0


def test_graphs_of_torch_geometric() -> None:
    batch = CrystalBatch.from_crystals(CRYSTALS)
    graph = batch.to_pyg()
    assert graph.num_graphs == 5
    assert graph.batch.tolist() == batch.batch.tolist()
    assert graph.z.tolist() == batch.numbers.tolist()
    assert graph.lattice.shape == (5, 3, 3)
    assert graph.frac_coords.sum().item() == pytest.approx(float(batch.frac_coords.sum()), rel=1e-5)
