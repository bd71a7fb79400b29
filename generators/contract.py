"""The executable contract of a generator: ships with the package, so that third parties can run it on their own."""

from __future__ import annotations

import numpy as np

from data.crystal import CrystalBatch
from data.fingerprint import spacegroup
from generators.base import Condition, Generator


class ContractError(Exception):
    """A generator broke its contract."""


def check_generator(generator: Generator, condition: Condition, n: int = 6, seed: int = 0) -> CrystalBatch:
    """Sample n crystals and hold them against the contract; return them.

    Raises:
        ContractError: which clause was broken, and by which sample.
    """
    batch, labels = generator.sample(n, condition, np.random.default_rng(seed))
    again, _ = generator.sample(n, condition, np.random.default_rng(seed))
    if len(batch) != n or len(labels) != n:
        raise ContractError(f"asked for {n} samples, got {len(batch)} and {len(labels)} labels")
    crystals = batch.to_crystals()
    if crystals != again.to_crystals():
        raise ContractError("the same seed gave other samples")
    for i, crystal in enumerate(crystals):
        elements = set(crystal.numbers)
        if condition.allowed and not elements <= condition.allowed:
            raise ContractError(f"sample {i} ({crystal.formula}) holds elements outside the allowed ones")
        if not condition.required <= elements:
            raise ContractError(f"sample {i} ({crystal.formula}) misses a required element")
        if condition.contents:
            content = {z: crystal.numbers.count(z) for z in elements}
            if content != condition.contents[i]:
                raise ContractError(f"sample {i} has content {content}, asked for {condition.contents[i]}")
        elif not condition.n_atoms[0] <= crystal.n_atoms <= condition.n_atoms[1]:
            raise ContractError(f"sample {i} has {crystal.n_atoms} atoms, asked for {condition.n_atoms}")
        if condition.groups and spacegroup(crystal, 0.01) not in condition.groups:
            raise ContractError(f"sample {i} ({crystal.formula}) has none of the space groups asked for")
        if crystal.volume_A3 / crystal.n_atoms < 1.0:
            raise ContractError(f"sample {i} ({crystal.formula}) has no volume")
    return batch
