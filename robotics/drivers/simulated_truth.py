"""What the simulated laboratory would find: a seeded model of synthesis and of cells, as simple as it is documented.

The same seed, request and predictions give the same result on every run. For one candidate the hidden truth is fixed
(it hangs on the seed and the candidate), so that a second request measures the same material again; what differs is the
noise of the cells (seed and request).

Hidden truth, drawn once per candidate:

- average voltage and energy above the hull: the prediction plus its own sigma times a normal number. A simulated
  campaign therefore finds predictions that are right on average and as good as they claim, no better.
- P(target forms) = 0.92 / (1 + exp((E_hull - 0.075 eV) / 0.025 eV)): nine of ten known metastable compounds lie below
  about 0.07 eV/atom (Sun et al. 2016, doi:10.1126/sciadv.1600225), and one synthesis in twelve fails for other reasons.
- phase purity ~ Beta(18, 2); where only a theoretical capacity is predicted, its utilisation ~ Beta(16, 3).
- capacity = predicted usable one (with its sigma) x purity x the share of a 0.1 V wide plateau inside the window; where
  the window ends before some predicted plateaus, the share of those inside.

Cells: one in twenty fails, and the capacities scatter by 2 % (ODACell, doi:10.1039/D3DD00058C); voltages by 10 mV.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Estimate
from redoxa.robotics.files import listing_sha256

HULL_MIDPOINT_EV = 0.075
HULL_WIDTH_EV = 0.025
BEST_YIELD = 0.92
UNKNOWN_HULL_EV = (0.05, 0.03)
"""Energy above the hull, and its sigma, where the screening gave none."""

PLATEAU_WIDTH_V = 0.1
VOLTAGE_NOISE_V = 0.01
PURITY_SIGMA = 0.02
TRACE_PURITY = 0.1
"""Share of the target in a powder in which it did not form."""
NEGLIGIBLE = 0.05
"""Below this share of the nominal capacity a cell has no plateau whose voltage could be read."""


@dataclass(frozen=True)
class CellModel:
    """How the simulated cells scatter.

    Attributes:
        noise_rsd: relative standard deviation of the capacity from cell to cell.
        cell_failure: share of cells that do not work.
    """

    noise_rsd: float = 0.02
    cell_failure: float = 0.05


@dataclass(frozen=True)
class Truth:
    """The hidden properties of one simulated material."""

    forms: bool
    purity: float
    voltage_V: float
    capacity_mAh_g: float


@dataclass(frozen=True)
class _Finding:
    outcome: Outcome
    values: dict[str, Estimate]
    purity: float
    note: str


def draw_truth(request: ExperimentRequest, seed: int, known: Mapping[str, float] | None = None) -> Truth:
    """Hidden truth of a request's candidate; `known` fixes properties by name instead of drawing them."""
    known = known or {}
    rng = seeded(seed, "truth", request.candidate_id)
    normal = rng.standard_normal(3)
    chance, purity, utilisation = rng.random(), rng.beta(18, 2), rng.beta(16, 3)
    nominal = request.recipe.cycling.nominal_capacity_mAh_g
    hull_eV = known.get("stability_discharge", _drawn(request, "stability_discharge", normal[0], UNKNOWN_HULL_EV))
    voltage_V = known.get("average_voltage", _drawn(request, "average_voltage", normal[1], (0.0, 0.0)))
    if "usable_capacity" in request.predictions:
        usable = _drawn(request, "usable_capacity", normal[2], (nominal, 0.0))
    else:
        usable = utilisation * _drawn(request, "capacity_grav", normal[2], (nominal, 0.0))
    window = request.recipe.cycling
    share = window.reached_fraction
    if share == 1:
        share = _plateau_share(voltage_V, window.min_voltage_V, window.max_voltage_V)
    return Truth(
        forms=bool(chance < formation_probability(hull_eV)),
        purity=float(purity),
        voltage_V=float(voltage_V),
        capacity_mAh_g=float(known.get("capacity_grav", max(0.0, usable) * purity) * share),
    )


def formation_probability(hull_eV: float) -> float:
    """Chance that a target this far above the hull (eV/atom) forms at all."""
    return BEST_YIELD / (1 + math.exp(min(50.0, (hull_eV - HULL_MIDPOINT_EV) / HULL_WIDTH_EV)))


def simulate(
    request_id: str, request: ExperimentRequest, seed: int, cells: CellModel, known: Mapping[str, float] | None = None
) -> tuple[Measurement, str]:
    """Measurement of a request, and the raw table that it was taken from."""
    truth = draw_truth(request, seed, known)
    if not truth.forms:
        raw = _raw_table(seed, request_id, [])
        found = _Finding(Outcome.TARGET_NOT_FORMED, {}, TRACE_PURITY, "the X-ray pattern shows other phases")
        return _measurement(request_id, request, seed, found, raw), raw
    rng = seeded(seed, "cells", request_id)
    n = request.recipe.cell.replicates
    works = rng.random(n) >= cells.cell_failure
    capacities = truth.capacity_mAh_g * (1 + cells.noise_rsd * rng.standard_normal(n))
    voltages = truth.voltage_V + VOLTAGE_NOISE_V * rng.standard_normal(n)
    rows = [(bool(w), max(0.0, float(c)), float(v)) for w, c, v in zip(works, capacities, voltages, strict=True)]
    raw = _raw_table(seed, request_id, rows)
    good = [(c, v) for w, c, v in rows if w]
    if good:
        values = _values(request, good, seed, cells.noise_rsd)
        found = _Finding(Outcome.SUCCESS, values, truth.purity, f"{len(good)} of {n} cells worked")
    else:
        found = _Finding(Outcome.CELL_FAILURE, {}, truth.purity, f"none of {n} cells worked")
    return _measurement(request_id, request, seed, found, raw), raw


def _values(
    request: ExperimentRequest, good: list[tuple[float, float]], seed: int, noise_rsd: float
) -> dict[str, Estimate]:
    """Means over the working cells with their standard errors."""
    count = len(good)
    capacity = sum(c for c, _ in good) / count
    voltage = sum(v for _, v in good) / count

    def estimate(value: float, sigma: float, unit: str) -> Estimate:
        method = f"simulated third formation discharge, mean of {count} cells"
        return Estimate(value=round(value, 6), sigma=round(sigma, 6), unit=unit, method=method, model=_model(seed))

    capacity_sigma = noise_rsd * capacity / math.sqrt(count)
    values = {"capacity_grav": estimate(capacity, capacity_sigma, "mAh/g")}
    if capacity > NEGLIGIBLE * request.recipe.cycling.nominal_capacity_mAh_g:
        values["average_voltage"] = estimate(voltage, VOLTAGE_NOISE_V / math.sqrt(count), "V")
        values["energy_grav"] = estimate(capacity * voltage, capacity_sigma * voltage, "Wh/kg")
    return values


def _measurement(request_id: str, request: ExperimentRequest, seed: int, found: _Finding, raw: str) -> Measurement:
    hashes = {f"{request_id}.csv": hashlib.sha256(raw.encode()).hexdigest()}
    return Measurement(
        request_id=request_id,
        candidate_id=request.candidate_id,
        outcome=found.outcome,
        values=found.values,
        phase_purity=Estimate(
            value=round(found.purity, 4), sigma=PURITY_SIGMA, unit="", method="simulated refinement", model=_model(seed)
        ),
        raw_files=hashes,
        raw_sha256=listing_sha256(hashes),
        simulated=True,
        note=f"SIMULATED, nothing was made or measured: {found.note}",
    )


def _raw_table(seed: int, request_id: str, rows: list[tuple[bool, float, float]]) -> str:
    lines = [f"# SIMULATED by Redoxa's simulated laboratory, seed {seed}, request {request_id}"]
    lines.append("cell,worked,capacity_mAh_g,average_voltage_V")
    lines += [f"{i},{'yes' if w else 'no'},{c:.4f},{v:.5f}" for i, (w, c, v) in enumerate(rows, start=1)]
    return "\n".join(lines) + "\n"


def _drawn(request: ExperimentRequest, name: str, normal: float, fallback: tuple[float, float]) -> float:
    estimate = request.predictions.get(name)
    value, sigma = (estimate.value, estimate.sigma) if estimate is not None else fallback
    return value + sigma * float(normal)


def _plateau_share(voltage_V: float, low_V: float, high_V: float) -> float:
    """Share of a normally smeared plateau that lies between the cut-off voltages."""
    scale = PLATEAU_WIDTH_V * math.sqrt(2)
    return 0.5 * (math.erf((high_V - voltage_V) / scale) - math.erf((low_V - voltage_V) / scale))


def _model(seed: int) -> str:
    return f"simulated laboratory, seed {seed}"


def seeded(seed: int, purpose: str, key: str) -> np.random.Generator:
    """A generator that hangs on these three alone, in every process."""
    # A hash, not Python's own, which differs from process to process.
    digest = hashlib.sha256(f"{seed}|{purpose}|{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
