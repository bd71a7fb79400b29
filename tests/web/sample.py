"""Sample records for tests of the report. The crystals are published ones; every other number is made up for tests only."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache

from pymatgen.core import Lattice, Structure

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.recipe import (
    Cell,
    ConstantCurrent,
    ConstantVoltage,
    Cycling,
    Electrode,
    Firing,
    FurnaceStep,
    Precursor,
    Pressing,
    Recipe,
    Rest,
    Synthesis,
)
from redoxa.data.lab.request import ExperimentRequest, RequestState, SafetyFinding
from redoxa.data.records import (
    Candidate,
    Crystal,
    Estimate,
    MigrationPath,
    Origin,
    Reason,
    ScreeningResult,
    Verdict,
    VoltageStep,
)
from redoxa.data.structures import from_structure
from redoxa.pipeline.pages.kit.model import (
    CalibrationRow,
    Correction,
    FunnelStage,
    HistoryEvent,
    LatentPoint,
    LatentView,
    Objective,
    Provenance,
    ReasonCount,
    ReportData,
    RequestRow,
    ResultRow,
    Spend,
)

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MODEL = "chgnet-0.3.0"

OLIVINE = [  # Streltsov 1993, LiFePO4
    ("Li", (0.0, 0.0, 0.0)), ("{M}", (0.28222, 0.25, 0.97472)), ("P", (0.09486, 0.25, 0.41820)),
    ("O", (0.09678, 0.25, 0.74279)), ("O", (0.45710, 0.25, 0.20602)), ("O", (0.16558, 0.04646, 0.28478)),
]  # fmt: skip
LAYERED = [("{A}", (0.0, 0.0, 0.5)), ("{M}", (0.0, 0.0, 0.0)), ("O", (0.0, 0.0, 0.2605))]
SPINEL = [("Li", (0.125, 0.125, 0.125)), ("Mn", (0.5, 0.5, 0.5)), ("O", (0.2632, 0.2632, 0.2632))]
SULFIDE = [("Li", (0.0, 0.0, 0.5)), ("Ti", (0.0, 0.0, 0.0)), ("S", (1 / 3, 2 / 3, 0.2447))]

HEXAGONAL = (90.0, 90.0, 120.0)
CUBIC = (90.0, 90.0, 90.0)


def crystal(group: str, cell: tuple[float, ...], sites: list[tuple[str, tuple[float, ...]]], **names: str) -> Crystal:
    """Primitive cell of a structure typed as space group, cell and asymmetric unit."""
    species = [label.format(**names) for label, _ in sites]
    coords = [xyz for _, xyz in sites]
    structure = Structure.from_spacegroup(group, Lattice.from_parameters(*cell), species, coords)
    return from_structure(structure.get_primitive_structure())


def emptied(discharged: Crystal, ion: str, swell: float) -> Crystal:
    """The crystal without its working ion, its cell scaled so that the volume changes by `swell`."""
    from ase.data import atomic_numbers

    kept = [i for i, z in enumerate(discharged.numbers) if z != atomic_numbers[ion]]
    factor = (1 + swell) ** (1 / 3)
    return Crystal(
        numbers=tuple(discharged.numbers[i] for i in kept),
        frac_coords=tuple(discharged.frac_coords[i] for i in kept),
        lattice_A=tuple(tuple(factor * x for x in row) for row in discharged.lattice_A),
    )


@cache
def hosts(ion: str = "Li") -> list[tuple[str, Crystal, float]]:
    """Published electrodes as (prototype, discharged crystal, volume change on charge)."""
    olivine = (10.3377, 6.0112, 4.6950, *CUBIC)
    o3 = (2.8161, 2.8161, 14.0540, *HEXAGONAL)
    sodium = (2.8890, 2.8890, 15.6090, *HEXAGONAL)
    if ion == "Na":
        return [("O3 layered oxide", crystal("R-3m", sodium, LAYERED, A="Na", M=m), 0.05) for m in ("Co", "Cr", "Fe")]
    return [
        ("olivine", crystal("Pnma", olivine, OLIVINE, M="Fe"), -0.066),
        ("O3 layered oxide", crystal("R-3m", o3, LAYERED, A="Li", M="Co"), 0.021),
        ("olivine", crystal("Pnma", (10.44, 6.09, 4.75, *CUBIC), OLIVINE, M="Mn"), -0.081),
        ("spinel", crystal("Fd-3m:2", (8.2476, 8.2476, 8.2476, *CUBIC), SPINEL), -0.072),
        ("1T sulfide", crystal("P-3m1", (3.4556, 3.4556, 6.1951, *HEXAGONAL), SULFIDE), -0.093),
        ("O3 layered oxide", crystal("R-3m", (2.878, 2.878, 14.19, *HEXAGONAL), LAYERED, A="Li", M="Ni"), 0.013),
    ]


NUMBERS = [  # voltage, capacity, hull as made, hull charged, volumetric capacity: sample values
    (3.43, 169.9, 0.006, 0.041, 611.0), (3.49, 273.8, -0.004, 0.071, 1363.0), (3.69, 170.9, 0.012, 0.096, 588.0),
    (3.92, 148.2, 0.003, 0.022, 634.0), (1.85, 225.3, 0.009, 0.001, 756.0), (4.02, 274.5, 0.034, 0.088, 1300.0),
]  # fmt: skip


def estimates(numbers: tuple[float, ...], swell: float) -> dict[str, Estimate]:
    """Estimates of a candidate in the project's names and units."""
    voltage, capacity, hull, charged_hull, volumetric = numbers
    relaxed = (
        "relaxed end members, metal reference of the same potential; sigma 0.5 V: RMS error against measured voltages"
    )
    theory = "theory from composition and redox limit; sigma 10 %: practice reaches 85-100 %"

    def made(value: float, sigma: float, unit: str, method: str, model: str = MODEL) -> Estimate:
        return Estimate(value=value, sigma=sigma, unit=unit, method=method, model=model)

    return {
        "average_voltage": made(voltage, 0.5, "V", relaxed),
        "capacity_grav": made(capacity, 0.1 * capacity, "mAh/g", theory, "stoichiometry"),
        "capacity_vol": made(volumetric, 0.02 * volumetric, "mAh/cm3", "relaxed cell volume"),
        "energy_grav": made(voltage * capacity, 0.55 * capacity, "Wh/kg", "voltage times capacity"),
        "energy_vol": made(voltage * volumetric, 0.57 * volumetric, "Wh/l", "voltage times capacity"),
        "max_delta_volume": made(abs(swell), 0.03, "1", "relaxed cell volumes"),
        "stability_discharge": made(hull, 0.063, "eV/atom", "convex hull of known phases"),
        "stability_charge": made(charged_hull, 0.063, "eV/atom", "convex hull of known phases"),
    }


def profile(voltage: float) -> tuple[VoltageStep, ...]:
    """Two plateaus about an average voltage."""
    ends, voltages = ((0.0, 0.5), (0.5, 1.0)), (voltage + 0.1, voltage - 0.1)
    return tuple(VoltageStep(x_charge=a, x_discharge=b, voltage_V=v) for (a, b), v in zip(ends, voltages, strict=True))


def hops(discharged: Crystal) -> tuple[MigrationPath, ...]:
    """A hop from the first ion along the second axis, and one that was not found."""
    start = discharged.frac_coords[0]
    barrier = MigrationPath(
        label="3.00 A", distance_A=3.0, barrier_eV=0.3, reverse_eV=0.3,
        energies_eV=(0.0, 0.2, 0.3, 0.2, 0.0), path_A=(0.0, 0.8, 1.6, 2.4, 3.2),
        positions=tuple((start[0], start[1] + k / 8, start[2]) for k in range(5)),
    )  # fmt: skip
    return barrier, MigrationPath(label="4.70 A", distance_A=4.7, reason="the path did not converge")


def recipe(formula: str, capacity: float, voltage: float) -> Recipe:
    """A recipe with the shape of a real one."""
    return Recipe(
        synthesis=Synthesis(
            target_formula=formula,
            target_mass_g=2.0,
            precursors=(
                Precursor(formula="Li2CO3", name="lithium carbonate", mass_g=0.4918, moles=0.00666, excess_fraction=0.05),
                Precursor(formula="FeC2O4·2H2O", name="iron(II) oxalate dihydrate", mass_g=2.2803, moles=0.01268),
                Precursor(formula="NH4H2PO4", name="ammonium dihydrogen phosphate", mass_g=1.4583, moles=0.01268),
            ),
            byproducts={"CO2": 1.5, "CO": 1.0, "NH3": 1.0, "H2O": 3.5},
            atmosphere="argon",
            atmosphere_reason="no oxygen is exchanged, and air would oxidise the product further",
            firings=(
                Firing(
                    steps=(
                        FurnaceStep(temperature_C=350, ramp_C_per_min=5, dwell_h=6, purpose="let gases leave"),
                        FurnaceStep(temperature_C=25, ramp_C_per_min=5, dwell_h=0, purpose="cool in the furnace gas"),
                    ),
                ),
                Firing(
                    pressing=Pressing(die_mm=13, load_kN=20),
                    steps=(
                        FurnaceStep(temperature_C=700, ramp_C_per_min=5, dwell_h=12),
                        FurnaceStep(temperature_C=25, ramp_C_per_min=5, dwell_h=0, purpose="cool in the furnace gas"),
                    ),
                ),
            ),
        ),
        electrode=Electrode(
            active_fraction=0.8, carbon_fraction=0.1, binder_fraction=0.1, binder="PVDF", solvent="NMP", collector="Al",
            active_loading_mg_cm2=4.0, drying_C=120, drying_h=12, diameter_mm=12.0,
        ),
        cell=Cell(
            casing="CR2032", counter="lithium metal", separator="glass fibre", electrolyte="1 M LiPF6 in EC:DMC 1:1",
            electrolyte_uL=80, replicates=3,
        ),
        cycling=Cycling(
            nominal_capacity_mAh_g=capacity, capacity_definition="theoretical, all working ions", one_C_mA=0.7, range_mA=1,
            formation=(ConstantCurrent(rate_C=0.05, until_voltage_V=voltage + 0.7, time_limit_s=90000),), min_voltage_V=voltage - 0.9, max_voltage_V=voltage + 0.7, cycles=20,
            steps=(
                Rest(time_s=21600),
                ConstantCurrent(rate_C=0.05, until_voltage_V=voltage + 0.7, time_limit_s=90000),
                ConstantVoltage(voltage_V=voltage + 0.7, until_rate_C=0.01, time_limit_s=7200),
                ConstantCurrent(rate_C=-0.05, until_voltage_V=voltage - 0.9, time_limit_s=90000),
            ),
        ),
    )  # fmt: skip


def passing(index: int, host: tuple[str, Crystal, float], rank: int | None) -> ResultRow:
    """A candidate that passed every gate."""
    prototype, discharged, swell = host
    candidate = Candidate(
        crystal=discharged,
        working_ion="Li",
        origin=Origin(generator="substitution", seed=7, campaign="sample", detail=f"{prototype}, ion kept"),
    )
    result = ScreeningResult(
        candidate_id=candidate.id,
        formula=candidate.formula,
        working_ion="Li",
        verdict=Verdict.PASS,
        settings_hash="5e771265c0ffee00",
        estimates=estimates(NUMBERS[index % len(NUMBERS)], swell),
        crystals={"discharged": discharged, "charged": emptied(discharged, "Li", swell)},
        profile=profile(NUMBERS[index % len(NUMBERS)][0]),
        paths=hops(discharged),
        notes={
            "oxidation_states": "Li +1, Fe +2, P +5, O -2",
            "hull_coverage_discharge": f"against {17 + index} reference phases, 3 of them with all its elements",
            "competing_phases_discharge": str(17 + index),
            "decomposes_to_discharge": "0.50 Fe2O3 + 0.33 Li3PO4 + 0.17 FePO4",
            "competing_phases_charge": "9",
            "volume_on_charge": f"{100 * swell:+.1f} %",
        },
        reasons=(
            (Reason(stage="hazard", code="cobalt", text="cobalt: costly, mining concerns", verdict=Verdict.PASS),)
            if "Co" in discharged.composition
            else ()
        ),
        stages=("geometry", "charge_balance", "capacity", "novelty", "relax_discharged", "hull", "relax_charged"),
    )
    voltage, capacity = NUMBERS[index % len(NUMBERS)][:2]
    why = (
        f"On the Pareto front: voltage {voltage:.3g} ± 0.5 V, capacity {capacity:.3g} ± {0.1 * capacity:.2g} mAh/g. It has a 71 % chance of "
        "meeting every objective and is the best of its system."
    )
    return ResultRow(
        candidate=candidate,
        result=result,
        rank=rank,
        why=why if rank else "",
        novelty="known host; its energy is recomputed here" if index < 2 else "not among 41 207 known materials",
    )


FAILURES = [
    ("geometry", "distance", "O and O are 1.31 Å apart, at least 1.90 is asked"),
    ("charge_balance", "charge", "no charge balance with common oxidation states"),
    ("capacity", "capacity_low", "capacity 74 mAh/g is below 100"),
    ("novelty", "duplicate", "duplicate of an earlier sample"),
    ("hull", "above_hull", "0.31 eV/atom above a hull of 14 known phases, limit 0.15"),
    ("relax_charged", "not_topotactic", "the framework changed when the ion left"),
]


def failing(index: int, rng: random.Random) -> ResultRow:
    """A candidate that ended somewhere, with a small random crystal."""
    metal = rng.choice(["Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni"])
    anion = rng.choice(["O", "O", "O", "F", "S"])
    symbols = ["Li", metal, *[anion] * rng.randint(2, 4)]
    a = 4.0 + rng.random()
    structure = Structure(
        Lattice.orthorhombic(a, a + rng.random(), a + 1), symbols, [[rng.random() for _ in "xyz"] for _ in symbols]
    )
    candidate = Candidate(
        crystal=from_structure(structure),
        working_ion="Li",
        origin=Origin(generator=rng.choice(["flow", "substitution"]), seed=7, round=rng.randint(0, 1)),
    )
    stage, code, text = rng.choices(FAILURES, weights=[30, 18, 12, 14, 18, 8])[0]
    verdict = Verdict.UNDETERMINED if rng.random() < 0.05 else Verdict.FAIL
    if verdict is Verdict.UNDETERMINED:
        stage, code, text = "relax_discharged", "unconverged", "the relaxation did not converge in 300 steps"
    known = {}
    if stage in ("hull", "relax_charged"):
        numbers = (
            rng.gauss(3.0, 0.9),
            rng.uniform(100, 290),
            rng.uniform(0.15, 0.5),
            rng.uniform(0.1, 0.5),
            rng.uniform(400, 1200),
        )
        known = estimates(numbers, rng.uniform(-0.2, 0.2))
    return ResultRow(
        candidate=candidate,
        result=ScreeningResult(
            candidate_id=candidate.id,
            formula=candidate.formula,
            working_ion="Li",
            verdict=verdict,
            settings_hash="5e771265c0ffee00",
            estimates=known,
            reasons=(Reason(stage=stage, code=code, text=text, verdict=verdict, value=0.31, limit=0.15),),
            stages=("geometry",),
        ),
    )


def request(row: ResultRow, rank: int, state: RequestState) -> RequestRow:
    """A request with its history up to `state`."""
    numbers = row.result.estimates
    made = ExperimentRequest(
        campaign="sample",
        round=0,
        candidate_id=row.candidate.id,
        formula=row.result.formula,
        working_ion="Li",
        crystal=row.result.crystals["discharged"],
        recipe=recipe(row.result.formula, numbers["capacity_grav"].value, numbers["average_voltage"].value),
        predictions=numbers,
        why=row.why,
        priority=-rank,
    )
    path = [RequestState.PROPOSED, RequestState.APPROVED, RequestState.CLAIMED, RequestState.RUNNING, RequestState.DONE]
    states = path[: path.index(state) + 1] if state in path else [*path[:4], state]
    who = {"proposed": "selection", "approved": "policy:auto", "claimed": "simulated", "running": "simulated"}
    why = {"proposed": row.why[:60], "approved": "every safety rule allows it", "running": "furnace, then cycler"}
    history = tuple(
        HistoryEvent(
            at=START + timedelta(minutes=4 * i + rank), state=s, by=who.get(s, "simulated"), text=why.get(s, "")
        )
        for i, s in enumerate(states)
    )
    safety = (
        SafetyFinding(rule="furnace-max", ok=True, text="700 °C is below the furnace's 1100 °C"),
        SafetyFinding(rule="toxic-gas", ok=True, text="CO and NH3 are vented by this laboratory"),
        SafetyFinding(rule="target-mass", ok=True, text="2 g is at most 10 g"),
    )
    return RequestRow(request_id=made.content_hash, request=made, state=state, safety=safety, history=history)


def measurement(row: RequestRow, rng: random.Random, outcome: Outcome, simulated: bool = True) -> Measurement:
    """What the simulated laboratory could have answered."""
    values = {}
    if outcome is Outcome.SUCCESS:
        for name, sigma in (("average_voltage", 0.03), ("capacity_grav", 3.4)):
            predicted = row.request.predictions[name]
            values[name] = Estimate(
                value=rng.gauss(predicted.value, 0.6 * predicted.sigma),
                sigma=sigma,
                unit=predicted.unit,
                method="coin cell, cycle 2",
                model="cycler",
            )
    return Measurement(
        request_id=row.request_id,
        candidate_id=row.request.candidate_id,
        outcome=outcome,
        values=values,
        phase_purity=Estimate(value=94.0, sigma=2.0, unit="%", method="powder diffraction", model="XRD"),
        raw_sha256="0" * 64,
        simulated=simulated,
    )


def empty() -> ReportData:
    """A campaign that has done nothing yet."""
    return ReportData(
        name="sample",
        working_ion="Li",
        electrode="cathode",
        objectives=(
            Objective(name="average_voltage", min=2.5, max=4.3),
            Objective(name="capacity_grav", min=100),
            Objective(name="stability_discharge", max=0.1),
        ),
        allowed_elements=("Li", "O", "F", "P", "S", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Si", "B"),
        spec_yaml="name: sample\ngoal:\n  working_ion: Li\n  electrode: cathode\nseed: 7\n",
        rounds_done=0,
        rounds_planned=1,
        stop_reason="the run was interrupted before its first stage",
        provenance=Provenance(
            created_at=START + timedelta(hours=1),
            campaign_id="c0ffee0123456789",
            settings_hash="5e771265c0ffee00",
            seed=7,
            versions={
                "redoxa": "0.1.0",
                "python": "3.11.2",
                "torch": "2.13.0",
                "chgnet": "0.4.2",
                "pymatgen": "2026.10.24",
            },
            checkpoints={"flow": "a" * 64, "chgnet": "0.3.0"},
            git_sha="6066b4f",
            reference={
                "hull": "2 314 phases relaxed with CHGNet 0.3.0",
                "energy scale": "MP2020-corrected PBE+U (CHGNet)",
            },
        ),
    )


@cache
def full(n_failing: int = 122) -> ReportData:
    """A finished campaign: six candidates passed, five went to the simulated laboratory."""
    rng = random.Random(11)
    good = [passing(i, host, i + 1 if i < 5 else None) for i, host in enumerate(hosts())]
    results = (*[failing(i, rng) for i in range(n_failing)], *good)
    states = [RequestState.DONE] * 3 + [RequestState.FAILED, RequestState.PROPOSED]
    requests = tuple(request(row, i + 1, state) for i, (row, state) in enumerate(zip(good, states, strict=False)))
    outcomes = [Outcome.SUCCESS] * 3 + [Outcome.TARGET_NOT_FORMED]
    measurements = tuple(measurement(r, rng, o) for r, o in zip(requests, outcomes, strict=False))
    calibration = tuple(
        CalibrationRow(
            candidate_id=m.candidate_id, formula=r.request.formula, name=name, predicted=r.request.predictions[name],
            measured=value, simulated=m.simulated,
        )
        for r, m in zip(requests, measurements, strict=False)
        for name, value in m.values.items()
    )  # fmt: skip
    funnel = _funnel(len(results))
    return empty().model_copy(
        update={
            "rounds_done": 1,
            "stop_reason": "the round is complete",
            "spend": Spend(seconds_by_stage={s.name: s.seconds for s in funnel}, cpu="2 cores"),
            "funnel": funnel,
            "results": results,
            "front_ids": tuple(r.candidate.id for r in good[:4]),
            "latent": latent(results),
            "requests": requests,
            "measurements": measurements,
            "calibration": calibration,
            "corrections": (
                Correction(name="average_voltage", bias=0.041, scale=0.93, count=3),
                Correction(name="capacity_grav", factor=0.97, scale=1.02, count=3),
            ),
        }
    )


def latent(results: tuple[ResultRow, ...]) -> LatentView:
    """A map of all but the first candidate: every tenth is odd, and one has no symmetric form."""
    rng = random.Random(5)
    points = tuple(
        LatentPoint(
            candidate_id=row.candidate.id,
            x=rng.gauss(0, 1),
            y=rng.gauss(0, 1),
            anomaly=None if i == 7 else 4.5 if i % 10 == 0 else rng.uniform(0, 2.9),
        )
        for i, row in enumerate(results[1:])
    )
    known = tuple((rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(300))
    return LatentView(points=points, known=known, share=0.31, left_out=1)


def _funnel(n: int) -> tuple[FunnelStage, ...]:
    stages = [
        ("generate flow", 1.0, 1.0, 2.1, ()),
        ("geometry", 1.0, 0.72, 0.4, (("two atoms too close", 0.2), ("density outside 1 to 10 g/cm3", 0.08))),
        ("charge_balance", 0.72, 0.55, 0.1, (("no charge balance with common oxidation states", 0.17),)),
        ("capacity", 0.55, 0.44, 0.05, (("capacity below 100 mAh/g", 0.11),)),
        ("novelty", 0.44, 0.34, 1.8, (("duplicate of an earlier sample", 0.07), ("known material", 0.03))),
        ("relax_discharged", 0.34, 0.3, 96.0, (("did not converge", 0.04),)),
        ("hull", 0.3, 0.14, 2.2, (("more than 0.15 eV/atom above the hull", 0.16),)),
        ("relax_charged", 0.14, 6 / n, 61.0, (("framework changed when the ion left", 0.06),)),
    ]
    return tuple(
        FunnelStage(
            name=name,
            entered=round(a * n),
            passed=round(b * n),
            seconds=seconds,
            reasons=tuple(ReasonCount(text=t, count=round(share * n)) for t, share in reasons),
        )
        for name, a, b, seconds, reasons in stages
    )
