"""What each key of a campaign file allows, and all together do not: told before anything is computed.

Asked where a file is read, not of the specs in a store, so that what ran once can always be shown again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from redoxa.data.chemistry import NONMETALS, REDOX_ACTIVE
from redoxa.data.errors import InputError
from redoxa.generators.composition.families import DEFAULT_FAMILY, HAVE_FAMILIES, family_in, shipped_weights
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.robotics.base import driver_class
from redoxa.screening.settings import Range

Where = tuple[str | int, ...]
Found = Iterator[tuple[Where, str]]
"""Where a contradiction stands, and what it is and what to do."""

_SCALES: Final = (
    ("eV/atom", -2, 2, 1000, "stability_discharge stability_charge max_instability"),
    ("eV/atom", -10, 10, 1000, "interface_reaction_energy synthesis_energy"),
    ("V", -10, 10, 1000, "average_voltage average_voltage_raw max_voltage_step conversion_voltage electrolyte_margin"),
    ("eV", 0, 10, 1000, "percolation_barrier_bv migration_barrier"),
    ("mAh/g", 0, 10_000, 1000, "capacity_grav usable_capacity"),
    ("mAh/cm3", 0, 20_000, 1000, "capacity_vol"),
    ("Wh/kg", 0, 20_000, 1000, "energy_grav"),
    ("Wh/l", 0, 50_000, 1000, "energy_vol"),
    ("parts of 1", 0, 1, 100, "cation_redox_share p_near_hull"),
    ("parts of 1", 0, 4, 100, "max_delta_volume max_lattice_strain jahn_teller_distortion"),
    ("Å", 0, 20, 100, "bottleneck_radius max_cation_shift"),
    ("g/cm3", 0, 30, 1000, "density"),
)
"""Unit, lowest and highest value that can be meant, ratio to the unit it is mistaken for, and the properties."""

SCALES: Final = {name: scale for *scale, names in _SCALES for name in names.split()}


def contradictions(spec: CampaignSpec) -> Found:
    """Everything in a campaign that can only come to nothing."""
    yield from _units(spec)
    yield from _chemistry(spec)
    yield from _ranges(spec)
    yield from _paths(spec)
    yield from _families(spec)
    yield from _laboratory(spec)


def _paths(spec: CampaignSpec) -> Found:
    """Paths named in a campaign file stay inside the project folder; weights must be there."""
    root = Path.cwd().resolve()
    options = spec.lab.options.items()
    named: dict[Where, str] = {
        ("lab", "options", k): x for k, x in options if isinstance(x, str) and ("/" in x or "\\" in x)
    }
    weights: dict[Where, str] = {
        ("generate", i, "checkpoint"): step.checkpoint for i, step in enumerate(spec.generate) if step.checkpoint
    }
    for where, value in {**named, **weights}.items():
        if "\0" in value:
            yield where, "holds a character that no path can hold."
            continue
        path = (root / value).resolve()
        if not path.is_relative_to(root):
            yield where, f"'{value}' lies outside the project folder {root}. Give a path inside it."
        elif where in weights and not path.is_file():
            yield where, f"there is no file '{value}' in {root}. Give the path of the weights, or leave checkpoint out."


def _is_there(root: Path, name: str) -> bool:
    """Whether a file is in the folder."""
    if "\0" in name:
        return False
    path = (root / name).resolve()
    return path.is_relative_to(root) and path.is_file()


def _families(spec: CampaignSpec) -> Found:
    """Models of formulas without weights of their own must ship; those with must be what is asked for."""
    root = Path.cwd().resolve()
    for i, step in enumerate(spec.generate):
        if step.kind not in HAVE_FAMILIES:
            continue
        where = "checkpoint" if step.checkpoint else "family" if step.family else "kind"
        try:
            if not step.checkpoint:
                shipped_weights(step.family or DEFAULT_FAMILY)
            elif _is_there(root, step.checkpoint):  # else `_paths` tells
                family_in(Path(step.checkpoint), step.family)
        except InputError as error:
            yield ("generate", i, where), f"{error}."


def _laboratory(spec: CampaignSpec) -> Found:
    config = driver_class(spec.lab.driver).Config
    try:
        config.model_validate(spec.lab.options)
    except ValidationError as error:
        for item in error.errors():
            text = f"{item['msg']} for driver '{spec.lab.driver}'. Known: {', '.join(config.model_fields)}"
            yield ("lab", "options", *item["loc"]), text


def _units(spec: CampaignSpec) -> Found:
    sections: tuple[tuple[Where, dict[str, Range] | dict[str, Range | None]], ...] = (
        (("goal", "objectives"), spec.goal.objectives),
        (("screen", "limits"), spec.screen.limits),
    )
    for where, ranges in sections:
        for name, wanted in ranges.items():
            for end in ("min", "max"):
                value = getattr(wanted, end, None)
                if value is None or name not in SCALES:
                    continue
                unit, low, high, ratio = SCALES[name]
                if not low <= value <= high:
                    guess = value / ratio
                    meant = f" Did you mean {guess:g}?" if low <= guess <= high else ""
                    yield (*where, name, end), f"{value:g} is no value in {unit}, {low:g} to {high:g}.{meant}"


def _chemistry(spec: CampaignSpec) -> Found:
    symbols = set(spec.allowed_symbols)
    named = ", ".join(spec.allowed_symbols)
    neutral = spec.chemistry.charge_neutral or spec.screen.charge_balance == "reject"
    if neutral and not symbols & NONMETALS:
        yield (
            ("chemistry", "allowed"),
            f"none of {named} can be an anion, so no cell is neutral. Allow one (O, F, S ...), "
            "or set chemistry.charge_neutral: false and screen.charge_balance: warn.",
        )
    elif spec.screen.redox == "reject" and not symbols & (REDOX_ACTIVE - {spec.goal.working_ion}):
        yield (
            ("chemistry", "allowed"),
            f"none of {named} can be oxidised when {spec.goal.working_ion} leaves, so every candidate is rejected. "
            "Allow one (Mn, Fe, V ...), or set screen.redox: warn.",
        )
    atoms = spec.chemistry.atoms_per_cell
    if atoms.min > spec.screen.max_atoms:
        yield (
            ("chemistry", "atoms_per_cell", "min"),
            f"cells of {atoms.min} to {atoms.max} atoms are generated, and screen.max_atoms relaxes none of more than "
            f"{spec.screen.max_atoms}. Raise that, or lower atoms_per_cell.",
        )
    if atoms.max < 2:
        yield ("chemistry", "atoms_per_cell", "max"), "1 atom cannot hold the working ion and a host. Give 2 or more."


def _ranges(spec: CampaignSpec) -> Found:
    limits = spec.screening.all_limits
    needs = {"max_voltage_step": "profile_states", "max_instability": "profile_states", "migration_barrier": "barriers"}
    for name, goal in spec.goal.objectives.items():
        where: Where = ("goal", "objectives", name)
        if name in needs and not getattr(spec.screen, needs[name]):
            yield where, f"is not computed without screen.{needs[name]}. Set that to 1 or more."
        if name in limits and _apart(goal, limits[name]):
            whose = "" if name in spec.screen.limits else f" (the default, {spec.goal.electrode})"
            text = f"{_said(goal)} and screen.limits.{name} {_said(limits[name])}{whose} have nothing in common."
            yield where, f"{text} Change one of them."


def _apart(a: Range, b: Range) -> bool:
    """Whether two ranges share nothing, or but the end of both."""
    low = max((x.min for x in (a, b) if x.min is not None), default=float("-inf"))
    high = min((x.max for x in (a, b) if x.max is not None), default=float("inf"))
    return low > high or (low == high and all(x.min != x.max for x in (a, b)))


def _said(wanted: Range) -> str:
    return "..".join("" if end is None else f"{end:g}" for end in (wanted.min, wanted.max))
