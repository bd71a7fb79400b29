"""Every registered generator passes the contract that ships with the package."""

from __future__ import annotations

import pytest

from data.errors import GenerationError
from data.registry import load
from generators import GENERATORS
from generators.base import Condition, Target
from generators.contract import check_generator

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
    ("diffusion", "space groups"),
    *(("flow", case) for case in ("space groups", "a target")),
    *(("substitution", case) for case in ("space groups", "a target")),
    ("template", "a target"),
}
"""What a generator does not do; it says which does."""


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("case", CONDITIONS, ids=lambda c: c.replace(" ", "-"))
def test_contract(name: str, case: str) -> None:
    generator = load(GENERATORS, "generator", name)(None)
    if (name, case) in REFUSED:
        with pytest.raises(GenerationError, match="use `orbits`"):
            check_generator(generator, CONDITIONS[case])
        return
    batch = check_generator(generator, CONDITIONS[case])
    assert len({c.content_hash for c in batch}) == 6


@pytest.mark.parametrize("name", GENERATORS)
def test_what_cannot_be_done_is_said(name: str) -> None:
    import numpy as np

    generator = load(GENERATORS, "generator", name)(None)
    impossible = Condition(frozenset({LI, O}), frozenset({NA}))
    with pytest.raises(GenerationError, match="Na"):
        generator.sample(2, impossible, np.random.default_rng(0))
