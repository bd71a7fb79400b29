"""Every registered generator passes the contract that ships with the package, and it notices one that breaks it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import ContractError, GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import prototype
from redoxa.generators import GENERATORS
from redoxa.generators.base import Condition, Target, generator_class
from redoxa.generators.contract import check_generator

LI, NA, MG, O, P, TI, MN, FE, CO = 3, 11, 12, 8, 15, 22, 25, 26, 27

CONDITIONS = {
    "lithium oxides": Condition(frozenset({LI, O, MN, FE, CO, TI}), frozenset({LI}), n_atoms=(4, 12)),
    "sodium, neutral": Condition(frozenset({NA, O, P, MN, FE}), frozenset({NA}), n_atoms=(4, 16), charge_neutral=True),
    "exact contents": Condition(contents=tuple({LI: k, CO: k, O: 2 * k} for k in (1, 2, 3, 4, 1, 2))),
    "anything": Condition(),
    "space groups": Condition(groups=frozenset({166, 227})),
    "a target": Condition(required=frozenset({LI}), targets=(Target("average_voltage", 3.0, 4.5),)),
}


REFUSED = {
    ("composition", "a target"),
    ("diffusion", "space groups"),
    *(("flow", case) for case in ("space groups", "a target")),
    *(("substitution", case) for case in ("space groups", "a target")),
    ("template", "a target"),
    ("wyckoff", "a target"),
}
"""What a generator does not do; it says which does."""


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(
            case, name, id=f"{case.replace(' ', '-')}-{name}",
            # It writes ten for each one wanted, which takes long; test_samples_satisfy_their_condition does so quickly.
            marks=pytest.mark.slow if (case, name) == ("a target", "vae") else (),
        )
        for case in CONDITIONS
        for name in GENERATORS
    ],
)  # fmt: skip
def test_contract(name: str, case: str) -> None:
    generator = generator_class(name)(None)
    if (name, case) in REFUSED:
        with pytest.raises(GenerationError, match="use `orbits`"):
            check_generator(generator, CONDITIONS[case])
        return
    batch = check_generator(generator, CONDITIONS[case])
    assert len({c.content_hash for c in batch}) == 6


@pytest.mark.parametrize("name", GENERATORS)
def test_what_cannot_be_done_is_said(name: str) -> None:
    generator = generator_class(name)(None)
    impossible = Condition(frozenset({LI, O}), frozenset({NA}))
    with pytest.raises(GenerationError, match="Na"):
        generator.sample(2, impossible, np.random.default_rng(0))


OLIVINE, LAYERED, SALT = (prototype(x).crystal for x in ("olivine LiFePO4", "O3 LiCoO2", "perovskite NaFeF3"))


def only(crystal: Crystal, elements: frozenset[int]) -> Crystal:
    """The sites of some elements."""
    sites = [i for i, z in enumerate(crystal.numbers) if z in elements]
    return Crystal(
        numbers=[crystal.numbers[i] for i in sites],
        frac_coords=[crystal.frac_coords[i] for i in sites],
        lattice_A=crystal.lattice_A,
    )


def exchanged(crystal: Crystal, swap: dict[int, int]) -> Crystal:
    """Other elements on the same sites."""
    return crystal.model_copy(update={"numbers": tuple(swap.get(z, z) for z in crystal.numbers)})


HOST = only(OLIVINE, frozenset({FE, P, O}))
FLAT = LAYERED.model_copy(update={"lattice_A": tuple(tuple(x / 3 for x in row) for row in LAYERED.lattice_A)})


LEFT = OLIVINE.model_copy(update={"numbers": (LI, LI, MG, MG, *OLIVINE.numbers[4:])})
"""The host with magnesium, and with half of the lithium that was to be dropped."""


class Stub:
    """A generator that gives what it is told to, once for each call."""

    name: ClassVar[str] = "stub"
    summary: ClassVar[str] = "gives what it is told to"
    aims: ClassVar[frozenset[str]] = frozenset()
    checkpoint_sha256: str | None = None

    def __init__(self, *calls: list[Crystal], labels: int = 2) -> None:
        self.calls, self.labels = calls, labels

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """What comes next; the last again and again."""
        first, *rest = self.calls
        self.calls = tuple(rest) or (first,)
        return CrystalBatch.from_crystals(first), [""] * self.labels


ANY = Condition(n_atoms=(2, 40))
FROM_HOST = Condition(required=frozenset({MG}), keep=frozenset({FE, P, O}), like=HOST)
SODIUM_OLIVINE = exchanged(OLIVINE, {LI: NA})


@pytest.mark.parametrize(
    ("calls", "condition", "clause"),
    [
        ([[LAYERED]], ANY, "asked for 2 samples"),
        ([[LAYERED, OLIVINE], [OLIVINE, LAYERED]], ANY, "the same seed gave other samples"),
        ([[LAYERED, SALT]], Condition(frozenset({LI, CO, O})), "outside the allowed"),
        ([[LAYERED, SALT]], Condition(required=frozenset({LI})), "misses a required"),
        ([[LAYERED, LAYERED]], Condition(contents=({LI: 1, CO: 1, O: 2}, {LI: 2, CO: 2, O: 4})), "sample 1 has content"),
        ([[LAYERED, OLIVINE]], Condition(n_atoms=(2, 20)), "has 28 atoms"),
        ([[LAYERED, OLIVINE]], Condition(n_atoms=(2, 40), groups=frozenset({166})), "none of the space groups"),
        ([[LAYERED, FLAT]], ANY, "no volume"),
        ([[LAYERED, exchanged(LAYERED, {O: 9})]], Condition(charge_neutral=True), "not charge neutral"),
        ([[exchanged(LAYERED, {O: FE})] * 2], Condition(charge_neutral=True), "not charge neutral"),
        ([[SODIUM_OLIVINE, LAYERED]], Condition(like=OLIVINE), "not the skeleton"),
        ([[SODIUM_OLIVINE, SALT]], Condition(like=OLIVINE), "not the skeleton"),
        ([[SODIUM_OLIVINE, exchanged(OLIVINE, {FE: MN})]], Condition(keep=frozenset({FE}), like=OLIVINE), "lost an element"),
        ([[SODIUM_OLIVINE, exchanged(OLIVINE, {FE: P, P: FE})]], Condition(keep=frozenset({FE, P, O}), like=OLIVINE), "moved"),
        ([[exchanged(OLIVINE, {LI: MG}), HOST]], FROM_HOST, "misses a required"),
        ([[LEFT, LEFT]], FROM_HOST, "holds more than"),
    ],
)  # fmt: skip
def test_the_contract_finds_what_is_broken(calls: list[list[Crystal]], condition: Condition, clause: str) -> None:
    with pytest.raises(ContractError, match=clause):
        check_generator(Stub(*calls), condition, n=2)


def test_a_label_is_missed() -> None:
    with pytest.raises(ContractError, match="1 labels"):
        check_generator(Stub([LAYERED, OLIVINE], labels=1), ANY, n=2)


@pytest.mark.parametrize(
    ("crystal", "condition"),
    [
        (SODIUM_OLIVINE, Condition(like=OLIVINE, charge_neutral=True)),
        (SODIUM_OLIVINE, Condition(required=frozenset({NA}), keep=frozenset({FE, P, O}), like=OLIVINE)),
        (exchanged(OLIVINE, {LI: MG}), FROM_HOST),
    ],
)
def test_the_contract_lets_through_what_keeps_it(crystal: Crystal, condition: Condition) -> None:
    check_generator(Stub([crystal, crystal]), condition, n=2)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(like=OLIVINE, keep=frozenset({P, O}), required=frozenset({NA}), charge_neutral=True),
        FROM_HOST,
    ],
    ids=["keep", "drop"],
)
def test_orbits_keeps_it_around_a_crystal(condition: Condition) -> None:
    check_generator(generator_class("orbits")(None), condition, n=2)
