"""SevenNet-0 (Park et al., J. Chem. Theory Comput. 20, 4857, 2024, doi:10.1021/acs.jctc.4c00190), an extra potential.

`pip install redoxa[sevennet]` brings the package, MIT licensed since 0.13, with the weights in its wheel. Not in one
environment with MACE: the two need different versions of e3nn.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal
from redoxa.screening.potentials.base import PointResult
from redoxa.screening.potentials.from_ase import Allowed, point_result, published_bytes, tensors_only

if TYPE_CHECKING:
    from ase import Atoms

INSTALL = "pip install 'redoxa[sevennet]'"


class SevenNet:
    """SevenNet-0 of 11 July 2024, trained on MPtrj: raw energies of the DFT, **without** the MP2020 corrections.

    Voltages need none, since both states bear the same ones. A hull does, where it compares oxides with metals, or
    elements with a Hubbard U in some of its phases only: distances from a hull of raw energies are not to be trusted
    there. The error is that of formation energies on the WBM set (Matbench Discovery, arXiv:2308.14920).
    """

    name: ClassVar[str] = "sevennet"
    model_id: ClassVar[str] = "sevennet-0-11jul2024"
    energy_scale: ClassVar[str] = "uncorrected PBE/PBE+U"
    energy_mae_eV_per_atom: ClassVar[float] = 0.046
    checkpoint: ClassVar[str] = "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"
    sha256: ClassVar[str] = "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36"

    def __init__(self) -> None:
        path = weights_path(self.checkpoint)
        published_bytes(path, self.sha256)
        try:
            with tensors_only(_allowed()), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about accelerators for GPUs
                calculators = import_module("sevenn.calculator")
                self._calculator = calculators.SevenNetCalculator(model=str(path), device="cpu")
        except (ImportError, OSError, RuntimeError, ValueError, KeyError, UnpicklingError) as error:
            raise PotentialError(f"SevenNet cannot be loaded from {path}: {error}. Try {INSTALL}") from error
        self._known = frozenset(int(z) for z in self._calculator.type_map)

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy of the cell; with `forces` also forces and stress (they cost nothing more: the model gives all).

        Raises:
            PotentialError: an element or a geometry outside the model, or a result that is not finite.
        """
        return point_result(self._calculator, self._known, self.name, crystal, forces)


def weights_path(checkpoint: str) -> Path:
    """Where the wheel of SevenNet keeps a checkpoint.

    Raises:
        PotentialError: the package is not installed, or holds no such file.
    """
    package = find_spec("sevenn")
    if package is None:
        raise PotentialError(f"SevenNet is not installed; run {INSTALL} in an environment without MACE")
    folders = [Path(folder) for folder in package.submodule_search_locations or ()]
    for folder in folders:
        if (path := folder / "pretrained_potentials" / checkpoint).is_file():
            return path
    raise PotentialError(f"{', '.join(map(str, folders))} holds no {checkpoint}; run {INSTALL}")


def _allowed() -> list[Allowed]:
    """What the checkpoint names beside tensors: numpy arrays of numbers, by the name they had before numpy 2."""
    from numpy._core.multiarray import _reconstruct

    return [
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        np.dtypes.Float32DType,
        np.dtypes.Float64DType,
    ]
