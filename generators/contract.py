"""The executable contract of a generator: ships with the package, so that third parties can run it on their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet

import numpy as np

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import ContractError, StructureError
from redoxa.data.fingerprint import distance, fingerprint, spacegroup
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import template_of
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.generators.base import Condition, Generator

OTHER, MOVED = 0.2, 0.3
"""Distances of fingerprints beyond which a skeleton is another one, and beyond which what was kept has moved. New
elements and inserted ions shift the free coordinates of olivine by up to 0.06 and 0.23."""


def check_generator(  # noqa: C901  (a clause for each field of a condition, in the order of its docstring)
    generator: Generator, condition: Condition, n: int = 6, seed: int = 0
) -> CrystalBatch:
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
        elif condition.like is not None:
            _check_like(f"sample {i} ({crystal.formula})", crystal, condition.like, condition)
        elif not condition.n_atoms[0] <= crystal.n_atoms <= condition.n_atoms[1]:
            raise ContractError(f"sample {i} has {crystal.n_atoms} atoms, asked for {condition.n_atoms}")
        if condition.charge_neutral and not condition.contents and not is_charge_balanced(crystal.composition):
            raise ContractError(f"sample {i} ({crystal.formula}) is not charge neutral")
        if condition.groups and spacegroup(crystal, 0.01) not in condition.groups:
            raise ContractError(f"sample {i} ({crystal.formula}) has none of the space groups asked for")
        if crystal.volume_A3 / crystal.n_atoms < 1.0:
            raise ContractError(f"sample {i} ({crystal.formula}) has no volume")
    return batch


def _check_like(sample: str, crystal: Crystal, like: Crystal, condition: Condition) -> None:
    """Hold a sample against the crystal whose skeleton it is to have."""
    elements = set(like.numbers)
    inserted = condition.required - elements if elements <= condition.keep else frozenset()
    host = _only(crystal, set(crystal.numbers) - inserted)
    if host is None or not _same_skeleton(host, like):
        raise ContractError(f"{sample} has not the skeleton of `like`, {like.formula}")
    if inserted and host.formula != like.formula:
        raise ContractError(f"{sample} holds more than `like`, {like.formula}, and what is inserted")
    cells, found = host.n_atoms / like.n_atoms, Counter(host.numbers)
    kept, own = _only(host, condition.keep), _only(like, condition.keep)
    if own is None:
        return
    if kept is None or any(found[z] < like.numbers.count(z) * cells - 1e-6 for z in condition.keep):
        raise ContractError(f"{sample} lost an element that was to be kept")
    # Kept elements may be drawn for further sites as well: then there is nothing to compare.
    if kept.formula == own.formula and distance(fingerprint(kept), fingerprint(own)) > MOVED:
        raise ContractError(f"{sample} moved elements that were to be kept")


def _same_skeleton(crystal: Crystal, like: Crystal) -> bool:
    """Sites alike whatever their elements; where the space group is that of `like`, so are the sizes of the orbits."""
    if distance(fingerprint(_alike(crystal)), fingerprint(_alike(like))) > OTHER:
        return False
    try:
        form, own = template_of(symmetric(crystal)), template_of(symmetric(like))
    except StructureError:
        return False
    return form.form.group != own.form.group or sorted(form.atoms) == sorted(own.atoms)


def _only(crystal: Crystal, elements: AbstractSet[int]) -> Crystal | None:
    """The sites of some elements; None where there are none."""
    sites = [i for i, z in enumerate(crystal.numbers) if z in elements]
    if not sites:
        return None
    return Crystal(
        numbers=tuple(crystal.numbers[i] for i in sites),
        frac_coords=[crystal.frac_coords[i] for i in sites],
        lattice_A=crystal.lattice_A,
    )


def _alike(crystal: Crystal) -> Crystal:
    """The sites without their elements."""
    return crystal.model_copy(update={"numbers": (1,) * crystal.n_atoms})
