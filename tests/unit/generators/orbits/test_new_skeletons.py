"""New skeletons: no template has their orbits, and they are as asked for."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.generators.base import Condition
from redoxa.generators.exchange.proposals import Proposer
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.orbits.beyond import Key, beyond_skeletons
from redoxa.generators.orbits.decoration.decorator import Drawing, load_decorator
from redoxa.generators.orbits.new_skeletons import Writer
from redoxa.generators.wyckoff.sequence import WyckoffModel

LI, O, P, MN = 3, 8, 15, 25


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(Proposer(load_templates()), load_decorator(shipped("orbits.safetensors")), WyckoffModel.load)


def drawing(*elements: int) -> Drawing:
    allowed = torch.zeros(N_TYPES, dtype=torch.bool)
    allowed[list(elements)] = True
    return Drawing(allowed)


def test_orbits_are_new_and_open(writer: Writer) -> None:
    condition = Condition(n_atoms=(4, 9))
    blanks = writer.blanks(condition, drawing(LI, O, P, MN), 8, torch.Generator().manual_seed(0))
    assert len(blanks) == 8
    known = {
        (t.form.group, tuple(sorted((n, len(o.free)) for n, o in zip(t.atoms, t.form.orbits, strict=True))))
        for t in writer.proposer.table
    }
    for blank in blanks:
        form = blank.template.form
        orbits = tuple(sorted((n, len(o.free)) for n, o in zip(blank.template.atoms, form.orbits, strict=True)))
        assert (form.group, orbits) not in known
        assert form.group > 1
        assert 4 <= sum(blank.template.atoms) <= 9
        assert set(blank.given) == {MASK}
        assert blank.new


def test_the_orbits_of_templates_are_known(writer: Writer) -> None:
    table = writer.proposer.table
    for index in range(0, len(table), 997):
        draft = writer.model.prefix(table[index].form)
        assert not writer._is_new(draft)
        draft.positions += [draft.positions[-1]] * 40
        assert writer._is_new(draft)


def test_nothing_is_written_where_nothing_can_be(writer: Writer) -> None:
    condition = Condition(n_atoms=(19, 19), groups=frozenset({230}))  # no orbits of 230 add up to 19
    assert writer.blanks(condition, drawing(LI, O), 4, torch.Generator()) == []


def test_contents_are_written_before_noise_is_asked() -> None:
    content: Key = ((LI, 3), (O, 4), (MN, 1))
    found = beyond_skeletons([content, content], frozenset(), np.random.default_rng(0))
    assert len(found[content]) == 2
    for crystal, label in found[content]:
        assert label.startswith("written by the sequence model, space group")
        assert sorted(crystal.numbers) == [LI] * 3 + [O] * 4 + [MN]


def test_noise_is_asked_last_and_not_for_a_space_group() -> None:
    model = WyckoffModel.load()
    model.propose = lambda *_: []  # type: ignore[method-assign]
    content: Key = ((LI, 1), (O, 1))
    ask = partial(beyond_skeletons, [content], rng=np.random.default_rng(0), model=lambda: model)
    ((_, label),) = ask(groups=frozenset())[content]
    assert "from noise" in label
    with pytest.raises(GenerationError, match=r"Li1O1: no .further. skeleton of space group 225"):
        ask(groups=frozenset({225}))
