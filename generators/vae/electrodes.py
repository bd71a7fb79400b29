"""Voltages on CHGNet's scale for the heads of the graph VAE: labels of templates, and labels of others brought to it.

The labels of the prepared data (`datasets.LABELS`) come from another potential. Screening judges with CHGNet, so
they are mapped by the line that fits crystals which both have labelled; the shipped templates add labels of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch_geometric.data import Data

from redoxa.data.crystal import CrystalBatch
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates
from redoxa.data.tables.datasets import LABELS, CrystalData
from redoxa.data.tables.template_labels import RANGE_V, ElectrodeLabel, read_electrode_labels
from redoxa.generators.noise.sampling.guidance import LABELS_BELOW_CHGNET_V
from redoxa.generators.vae.crystal_graph import graphs_of
from redoxa.generators.vae.latent import reduced
from redoxa.generators.vae.network import PROPERTIES

COLUMNS = {3: list(LABELS).index("voltage_Li_V"), 11: list(LABELS).index("voltage_Na_V")}
"""Place of an ion's voltage among `LABELS`, and in `PROPERTIES`."""

LARGEST = 20
"""Atoms of the largest template that is learned, as of the other crystals."""

SAME_VOLUME = 0.06
"""Relative difference of the volume by atom up to which crystals of one formula are taken to be one."""

ENOUGH = 20
"""Crystals with both labels from which on a line is fitted to them."""


@dataclass(frozen=True)
class Electrodes:
    """Labelled templates.

    Attributes:
        graphs: of the crystals.
        labels: float32 [E,P] by the order of `PROPERTIES`, NaN but for a voltage.
        held_out: of a formula that is held out in the data, bool [E].
        scale: slope and offset (V) from the voltages of the data to those of CHGNet.
    """

    graphs: list[Data]
    labels: torch.Tensor
    held_out: npt.NDArray[np.bool_]
    scale: tuple[float, float]


def electrodes_for(data: CrystalData) -> Electrodes:
    """The shipped labels of lithium and sodium hosts, split as the data are."""
    table = load_templates()
    atoms = table.compositions.sum(1)
    known = [
        label
        for label in read_electrode_labels(shipped("electrode_labels.parquet"), table.sha256)
        if label.ion in COLUMNS and RANGE_V[0] < label.voltage_V < RANGE_V[1] and atoms[label.template] <= LARGEST
    ]
    held_out = {_formula(numbers) for (numbers, _, _), out in zip(data, data.held_out, strict=True) if out}
    out = np.array([_formula_of(table, label) in held_out for label in known])
    labels = torch.full((len(known), len(PROPERTIES)), torch.nan)
    for row, label in enumerate(known):
        labels[row, COLUMNS[label.ion]] = label.voltage_V
    crystals = [reduced(table[label.template].form.to_crystal()) for label in known]
    kept = [label for label, is_out in zip(known, out, strict=True) if not is_out]
    return Electrodes(graphs_of(CrystalBatch.from_crystals(crystals)), labels, out, fit_scale(pairs(data, table, kept)))


def pairs(data: CrystalData, table: TemplateTable, labels: Sequence[ElectrodeLabel]) -> npt.NDArray[np.float64]:
    """Voltages against lithium of crystals that both have labelled: of the data, and of CHGNet, V [n,2].

    The one crystal of the same formula and nearly the same volume by atom; none where there are several.
    """
    found = defaultdict(list)
    voltages = data.labels[:, COLUMNS[3]]
    for (numbers, _, cell), voltage, out in zip(data, voltages, data.held_out, strict=True):
        if np.isfinite(voltage) and not out:
            found[_formula(numbers)].append((float(voltage), abs(float(np.linalg.det(cell))) / len(numbers)))
    both = []
    for label in (label for label in labels if label.ion == 3):
        volume = table.volumes_A3[label.template] / table.compositions[label.template].sum()
        near = [v for v, theirs in found[_formula_of(table, label)] if abs(theirs / volume - 1) < SAME_VOLUME]
        if len(near) == 1:
            both.append((near[0], label.voltage_V))
    return np.array(both, dtype=np.float64).reshape(-1, 2)


def fit_scale(both: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset by least squares from [n,2]; the known shift of the labels where there are too few."""
    if len(both) < ENOUGH:
        return 1.0, LABELS_BELOW_CHGNET_V
    slope, offset = np.polyfit(both[:, 0], both[:, 1], 1)
    return float(slope), float(offset)


def on_scale(labels: npt.NDArray[np.float32], scale: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Labels [B,P] with the voltages of the data brought to CHGNet's scale."""
    found, columns = labels.copy(), list(COLUMNS.values())
    found[:, columns] = scale[0] * labels[:, columns] + scale[1]
    return found


def _formula_of(table: TemplateTable, label: ElectrodeLabel) -> bytes:
    return _reduced(table.compositions[label.template])


def _formula(numbers: npt.NDArray[np.int64]) -> bytes:
    """Reduced formula as a key."""
    return _reduced(np.bincount(numbers, minlength=104))


def _reduced(counts: npt.NDArray[np.int64]) -> bytes:
    return bytes((counts // np.gcd.reduce(counts)).astype(np.uint8))
