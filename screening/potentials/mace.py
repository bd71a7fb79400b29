"""MACE-MPA-0 (Batatia et al., arXiv:2401.00096), an optional potential with weights that the user fetches.

`pip install redoxa[mace]` brings the package; the weights (MIT licence, 9 million parameters, trained on MPtrj and
sAlex) are no part of it. Not in one environment with SevenNet: the two need different versions of e3nn.

A MACE file is a pickled network that carries code (torch.fx graphs). So the one published file is opened and no other:
its sha256 is compared before torch sees a byte, and even then only the classes of MACE and e3nn are let through.
"""

from __future__ import annotations

import io
import os
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal
from redoxa.screening.potentials.base import PointResult
from redoxa.screening.potentials.from_ase import Allowed, point_result, published_bytes, tensors_only

if TYPE_CHECKING:
    from ase import Atoms

INSTALL = "pip install 'redoxa[mace]'"
RELEASE = "https://github.com/ACEsuit/mace-foundations/releases/tag/mace_mpa_0"
FILE = "mace-mpa-0-medium.model"
VARIABLE = "REDOXA_MACE_MODEL"

CLASSES = (
    "e3nn.math._normalize_activation:normalize2mom",
    "e3nn.nn._activation:Activation",
    "e3nn.nn._fc:FullyConnectedNet",
    "e3nn.nn._fc:_Layer",
    "e3nn.o3._irreps:Irrep",
    "e3nn.o3._irreps:Irreps",
    "e3nn.o3._irreps:_MulIr",
    "e3nn.o3._linear:Instruction",
    "e3nn.o3._linear:Linear",
    "e3nn.o3._spherical_harmonics:SphericalHarmonics",
    "e3nn.o3._tensor_product._instruction:Instruction",
    "e3nn.o3._tensor_product._sub:FullyConnectedTensorProduct",
    "e3nn.o3._tensor_product._tensor_product:TensorProduct",
    "mace.modules.blocks:AtomicEnergiesBlock",
    "mace.modules.blocks:EquivariantProductBasisBlock",
    "mace.modules.blocks:LinearNodeEmbeddingBlock",
    "mace.modules.blocks:LinearReadoutBlock",
    "mace.modules.blocks:NonLinearReadoutBlock",
    "mace.modules.blocks:RadialEmbeddingBlock",
    "mace.modules.blocks:RealAgnosticDensityInteractionBlock",
    "mace.modules.blocks:RealAgnosticDensityResidualInteractionBlock",
    "mace.modules.blocks:ScaleShiftBlock",
    "mace.modules.irreps_tools:reshape_irreps",
    "mace.modules.models:ScaleShiftMACE",
    "mace.modules.radial:AgnesiTransform",
    "mace.modules.radial:BesselBasis",
    "mace.modules.radial:PolynomialCutoff",
    "mace.modules.radial:ZBLBasis",
    "mace.modules.symmetric_contraction:Contraction",
    "mace.modules.symmetric_contraction:SymmetricContraction",
    "torch.fx._symbolic_trace:Tracer",
    "torch.fx.graph_module:reduce_graph_module",
    "torch.nn.functional:silu",
    "torch.nn.modules.container:ModuleList",
    "torch.nn.modules.container:ParameterList",
)
"""All that such a network is pickled from. `reduce_graph_module` runs code of the file: hence the sha256."""


class Mace:
    """MACE-MPA-0 (medium): raw energies of the DFT, **without** the MP2020 corrections (see `potentials.sevennet`).

    The sha256 is the one that independent users of the release record. The error is that of formation energies on the
    WBM set (Matbench Discovery, arXiv:2308.14920).
    """

    name: ClassVar[str] = "mace"
    model_id: ClassVar[str] = "mace-mpa-0-medium"
    energy_scale: ClassVar[str] = "uncorrected PBE/PBE+U"
    energy_mae_eV_per_atom: ClassVar[float] = 0.028
    sha256: ClassVar[str] = "75428afe3a1d7d8062e19bcaabd5c433623cabf308242ec9fb493e38604fb638"

    def __init__(self) -> None:
        if find_spec("mace") is None:
            raise PotentialError(f"MACE is not installed; run {INSTALL} in an environment without SevenNet")
        path = weights_path(self.sha256)
        content = published_bytes(path, self.sha256)
        try:
            self._calculator = _calculator(content)
        except (ImportError, AttributeError, RuntimeError, ValueError, KeyError, UnpicklingError) as error:
            raise PotentialError(f"MACE cannot be loaded from {path}: {error}. Try {INSTALL}") from error
        self._known = frozenset(int(z) for z in self._calculator.z_table.zs)

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy of the cell; with `forces` also forces and stress (they cost nothing more: the model gives all).

        Raises:
            PotentialError: an element or a geometry outside the model, or a result that is not finite.
        """
        return point_result(self._calculator, self._known, self.name, crystal, forces)


def weights_path(sha256: str) -> Path:
    """The file that `REDOXA_MACE_MODEL` names, or else where MACE itself keeps it.

    Raises:
        PotentialError: none is there; the message says where to get it and where to put it.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mace"
    for name in (FILE, "macempa0mediummodel"):  # as published, and as MACE names it in its cache
        if (cache / name).is_file():
            return cache / name
    raise PotentialError(
        f"the weights of MACE-MPA-0 are not here: fetch {FILE} (sha256 {sha256}) from {RELEASE} and put it into "
        f"{cache}, or say where it lies in {VARIABLE}"
    )


def _calculator(content: bytes) -> Any:
    with tensors_only([slice]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("e3nn.o3")  # reads tables of its own
        calculators = import_module("mace.calculators")
    with tensors_only(_allowed()):
        network = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return calculators.MACECalculator(models=[network.eval().float()], device="cpu", default_dtype="float32")


def _allowed() -> list[Allowed]:
    pairs = [name.split(":") for name in CLASSES]
    return [getattr(import_module(module), attribute) for module, attribute in pairs]
