"""An ASE calculator of another package behind our `Potential`; its weights are checked before anything reads them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.calculators.calculator import all_changes

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal
from redoxa.data.structures import to_atoms
from redoxa.screening.potentials.base import PointResult, check_finite

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

MIN_VOLUME_A3_PER_ATOM = 1.0
"""Denser than any crystal by far; guards against neighbour lists without end."""

FORCE_SAFE, FORCE_UNSAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"

Allowed = type | Callable[..., Any] | tuple[Any, str]
"""A type or function that a checkpoint may name, or a pair of it and the name it goes by there."""


def point_result(
    calculator: Calculator, known: frozenset[int], name: str, crystal: Crystal | Atoms, forces: bool
) -> PointResult:
    """What an ASE calculator says of one geometry.

    Args:
        calculator: gives energy (eV), forces (eV/A) and Voigt stress (eV/A^3).
        known: atomic numbers the model was trained on.
        name: of the potential, for messages.
        crystal: a record or ASE atoms, periodic in all directions.
        forces: also forces and stress.

    Raises:
        PotentialError: an element or a geometry outside the model, or a result that is not finite.
    """
    atoms = to_atoms(crystal) if isinstance(crystal, Crystal) else crystal
    numbers = {int(z) for z in atoms.numbers}
    what = f"{len(atoms)} atoms with Z in {sorted(numbers)}"
    if unknown := sorted(numbers - known):
        raise PotentialError(f"{name} does not know the elements with Z in {unknown}")
    if not atoms.get_volume() > MIN_VOLUME_A3_PER_ATOM * len(atoms):
        raise PotentialError(f"a volume of {atoms.get_volume():.3g} A^3 for {len(atoms)} atoms is no crystal")
    try:
        calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:  # models fail so on atoms without neighbours
        raise PotentialError(f"{what}: {name} failed ({error})") from error
    energy_eV = float(calculator.results["energy"])
    if not forces:
        return check_finite(PointResult(energy_eV), what)
    stress = np.asarray(calculator.results["stress"], dtype=float)[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    return check_finite(PointResult(energy_eV, np.array(calculator.results["forces"], dtype=float), stress), what)


def published_bytes(path: Path, sha256: str) -> bytes:
    """Content of a file, provided it is the very one that a `model_id` stands for.

    Raises:
        PotentialError: it cannot be read, or is another file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PotentialError(f"{path} cannot be read: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PotentialError(f"{path} is not the published file: its sha256 is {found}, not {sha256}")
    return content


@contextmanager
def tensors_only(allowed: Sequence[Allowed]) -> Iterator[None]:
    """Let every `torch.load` inside build tensors and the `allowed` types only, whatever its caller asked for.

    Code of other packages loads checkpoints by unpickling, which runs what a file says. Torch's own switch puts its
    restricted unpickler in place: a file that names anything else is refused before it can do anything.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE_SAFE, FORCE_UNSAFE)}
    os.environ[FORCE_SAFE] = "1"
    try:
        with torch.serialization.safe_globals(list(allowed)):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
