"""The frozen records that travel between modules and rest in the store. Light on purpose: no torch, no pymatgen."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

WorkingIon = Literal["Li", "Na", "K", "Mg", "Ca", "Zn", "Al"]

Vector = tuple[float, float, float]


class Record(BaseModel):
    """A frozen, strict record; two records with equal content have equal `content_hash`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @cached_property
    def content_hash(self) -> str:
        """First 16 hex digits of the sha256 of the canonical JSON."""
        return content_hash(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields replaced. What was derived from the old fields is derived anew."""
        copy = super().model_copy(update=update, deep=deep)
        # pydantic copies the instance dictionary, in which cached properties (hashes, formulas) rest as well.
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy


def content_hash(value: Any) -> str:
    """Hash any JSON value: sorted keys, no spaces, sha256, first 16 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Crystal(Record):
    """A periodic, ordered crystal.

    `numbers` [N] atomic numbers; `frac_coords` [N,3] in [0,1), rounded to 1e-6; `lattice_A` [3,3] row vectors in
    Angstrom, rounded to 1e-6, as in ASE and pymatgen. Rounding makes the hash the same on every machine.
    """

    numbers: tuple[int, ...] = Field(min_length=1)
    frac_coords: tuple[Vector, ...]
    lattice_A: tuple[Vector, Vector, Vector]

    @model_validator(mode="before")
    @classmethod
    def _round(cls, value: Any) -> Any:
        if isinstance(value, dict):
            value = dict(value)
            if "frac_coords" in value:
                value["frac_coords"] = tuple(
                    tuple(round(float(x) % 1.0, 6) % 1.0 for x in row) for row in value["frac_coords"]
                )
            if "lattice_A" in value:
                value["lattice_A"] = tuple(tuple(round(float(x), 6) + 0.0 for x in row) for row in value["lattice_A"])
            if "numbers" in value:
                value["numbers"] = tuple(int(z) for z in value["numbers"])
        return value

    @model_validator(mode="after")
    def _check(self) -> Crystal:
        if len(self.numbers) != len(self.frac_coords):
            raise ValueError(f"{len(self.numbers)} numbers but {len(self.frac_coords)} coordinates")
        if any(not 1 <= z <= 118 for z in self.numbers):
            raise ValueError("atomic numbers must lie in 1..118")
        return self

    @property
    def n_atoms(self) -> int:
        """Number of atoms N in the cell."""
        return len(self.numbers)

    @cached_property
    def volume_A3(self) -> float:
        """Cell volume in cubic Angstrom."""
        (a, b, c), (d, e, f), (g, h, i) = self.lattice_A
        return abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))

    @cached_property
    def composition(self) -> dict[str, int]:
        """Atoms in the cell by element symbol, e.g. ``{'Li': 4, 'Fe': 4, 'P': 4, 'O': 16}``."""
        from ase.data import chemical_symbols

        return dict(Counter(chemical_symbols[z] for z in self.numbers))

    @cached_property
    def formula(self) -> str:
        """Reduced formula, cations first by electronegativity, e.g. ``LiFePO4``."""
        return reduced_formula(self.composition)


def reduced_formula(composition: dict[str, int]) -> str:
    """Reduced formula of a cell content, elements ordered by Pauling electronegativity (as pymatgen orders them)."""
    from pymatgen.core import Composition

    return str(Composition(composition).reduced_formula)


_GROUP = re.compile(r"\(([A-Za-z0-9]+)\)(\d*)")
_GROUP_IN_TEXT = re.compile(r"(?<=[A-Za-z\d)])\(((?:[A-Z][a-z]?\d*)+)\)(\d+)")
_POLYANION = re.compile(r"(B|C|N|Si|P|S|Cl|As|Se|Mo|W)\d*O\d*|CN|HO|NH4")


def plain_formula(formula: str) -> str:
    """A reduced formula as people write it: groups stay where they are polyanions, ``LiFe(NiO2)2`` is ``LiFeNi2O4``.

    For people only: keys and files for machines hold the reduced formula itself.
    """
    return _GROUP.sub(_opened, formula)


def plain_formulas(text: str) -> str:
    """A sentence with its formulas as people write them."""
    return _GROUP_IN_TEXT.sub(_opened, text)


def _opened(group: re.Match[str]) -> str:
    if _POLYANION.fullmatch(group[1]):
        return group[0]
    return _multiplied(group[1], int(group[2] or 1))


def flat_formula(formula: str) -> str:
    """A formula without brackets, for names of files: ``Na3V2(PO4)3`` is ``Na3V2P3O12``."""
    return _GROUP.sub(lambda group: _multiplied(group[1], int(group[2] or 1)), formula)


def _multiplied(group: str, times: int) -> str:
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", group)
    return "".join(f"{e}{n}" if (n := int(count or 1) * times) > 1 else e for e, count in parts)


class Origin(Record):
    """Where a candidate came from: enough to make it again."""

    generator: str
    checkpoint_sha256: str | None = None
    seed: int
    campaign: str | None = None
    round: int = 0
    parent: str | None = None
    detail: str = ""


class Candidate(Record):
    """A proposed discharged (as-made) electrode crystal and the ion that works in it."""

    crystal: Crystal
    working_ion: WorkingIon
    origin: Origin

    @cached_property
    def id(self) -> str:
        """Content hash of the crystal and the working ion; where it came from does not enter."""
        return content_hash([self.crystal.model_dump(mode="json"), self.working_ion])

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return self.crystal.formula


class Estimate(Record):
    """A value that knows its uncertainty, unit, method and model; the only way a number leaves a module."""

    value: float
    sigma: float = Field(ge=0)
    unit: str
    method: str
    model: str

    @property
    def text(self) -> str:
        """Value and sigma to the decimals that sigma's two leading digits call for: ``3.43 ± 0.50``, ``168 ± 17``."""
        if self.sigma == 0:
            return f"{self.value:.4g}"
        decimals = max(0, 1 - math.floor(math.log10(self.sigma)))
        value = round(self.value, decimals) + 0.0  # no "-0.000"
        return f"{value:.{decimals}f} ± {self.sigma:.{decimals}f}"


class Verdict(StrEnum):
    """What a screening says of a candidate. `undetermined`: could not be computed, so neither passed nor rejected."""

    PASS = "pass"
    FAIL = "fail"
    UNDETERMINED = "undetermined"
    ERROR = "error"


class Reason(Record):
    """Why a candidate got its verdict, or a warning (`verdict = pass`) that a reader should see."""

    stage: str
    code: str
    text: str
    verdict: Verdict
    value: float | None = None
    limit: float | None = None


class VoltageStep(Record):
    """A plateau of a voltage profile: two states of charge that coexist.

    `x_charge` and `x_discharge`: working ions per formula unit of the host at its ends.
    """

    x_charge: float
    x_discharge: float
    voltage_V: float


class MigrationPath(Record):
    """One kind of hop of the working ion, and the way over its saddle point.

    Energies are relative to the relaxed start; `positions` are fractional coordinates of the ion in the cell of the
    relaxed discharged crystal, not wrapped into it, one by image.
    """

    label: str
    """E.g. ``3.00 A along [010]``."""
    distance_A: float
    barrier_eV: float | None = None
    reverse_eV: float | None = None
    energies_eV: tuple[float, ...] = ()
    path_A: tuple[float, ...] = ()
    """Length of the path up to each image."""
    positions: tuple[Vector, ...] = ()
    reason: str = ""
    """Why there is no barrier; empty where there is one."""


LOST = "worker_died"
"""Code of the reason that a job was given up because its process died again and again."""


class ScreeningResult(Record):
    """Everything the screening found for one candidate under one set of settings."""

    candidate_id: str
    formula: str
    working_ion: WorkingIon
    verdict: Verdict
    settings_hash: str
    estimates: dict[str, Estimate] = {}
    reasons: tuple[Reason, ...] = ()
    profile: tuple[VoltageStep, ...] = ()
    """Voltage by content of ions, from the charged end; one step where no partial states were computed."""
    paths: tuple[MigrationPath, ...] = ()
    """Hops of the ion whose barrier was looked for, cheapest first."""
    crystals: dict[str, Crystal] = {}
    """Relaxed states by name: ``discharged``, ``charged``."""
    notes: dict[str, str] = {}
    """Short facts that are not numbers: decomposition products, hull coverage, duplicate of ..."""
    stages: tuple[str, ...] = ()
    """Stages passed or ended in, in order."""

    @property
    def is_lost(self) -> bool:
        """Whether a process died over it: it says nothing of the candidate, and is to be asked for again."""
        return any(reason.code == LOST for reason in self.reasons)
