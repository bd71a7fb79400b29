"""What the memory proposes for a content: exact contents, no proposal twice, the expected skeletons among them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from redoxa.data.shipped import shipped
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import load_templates, template_of, write_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.exchange.proposals import CHANGED, PLAIN, Proposer, assignments, decorate
from redoxa.generators.orbits.judge import Judge, features

LI, O, NA, MG, AL, CL, TI, CO, FE = 3, 8, 11, 12, 13, 17, 22, 27, 26


@pytest.fixture(scope="module")
def proposer() -> Proposer:
    return Proposer(load_templates())


def test_every_assignment_once() -> None:
    assert {tuple(a) for a in assignments((2, 1, 1), (2, 2)).tolist()} == {(0, 1, 1), (1, 0, 0)}
    assert {tuple(a) for a in assignments((1, 1), (1, 1)).tolist()} == {(0, 1), (1, 0)}
    assert assignments((3,), (2, 1)).shape == (0, 1)
    assert assignments((2, 1), (2, 2)).shape == (0, 2)


@pytest.mark.parametrize(
    "content", [{LI: 1, CO: 1, O: 2}, {NA: 1, CL: 1}, {LI: 2, FE: 1, TI: 1, O: 4}, {MG: 2, AL: 4, O: 8}]
)
def test_proposals_have_the_content_and_differ(proposer: Proposer, content: dict[int, int]) -> None:
    proposals = proposer.proposals(content)
    assert 1 <= len([p for p in proposals if not p.changes]) <= PLAIN
    assert len([p for p in proposals if p.changes]) <= CHANGED
    seen = set()
    for proposal in proposals:
        template = proposer.table[proposal.index]
        crystal = proposer.form(proposal).to_crystal()
        assert {z: n * proposal.cells for z, n in Counter(crystal.numbers).items()} == content
        assert list(proposal.distances[1:]) == sorted(proposal.distances[1:])
        seen.add((proposal.cells, repr(template.decorated(proposal.numbers))))
    assert len(seen) == len(proposals)
    one_cell = [p.distances[0] for p in proposals if p.cells == 1]
    assert one_cell == sorted(one_cell)


def test_elements_go_to_their_likes(tmp_path: Path) -> None:
    write_templates(tmp_path / "one.parquet", [template_of(canonical(symmetric(prototype("O3 NaCoO2").crystal)))])
    alone = Proposer(load_templates(tmp_path / "one.parquet"))
    old = [o.number for o in alone.table[0].form.orbits]
    (same,) = [p for p in alone.proposals({NA: 1, CO: 1, O: 2}) if p.distances[0] == 0]
    assert list(same.numbers) == old
    nearest = min(alone.proposals({LI: 1, 28: 1, 16: 2}), key=lambda p: p.distances[0])
    assert list(nearest.numbers) == [{NA: LI, CO: 28, O: 16}[z] for z in old]
    assert nearest.distances[0] > 0


def test_what_is_left_out_is_not_proposed(proposer: Proposer) -> None:
    content = {LI: 1, CO: 1, O: 2}
    first = proposer.proposals(content)[0]
    assert first.distances[0] == 0  # the table holds LiCoO2
    without = proposer.proposals(content, [first.index])
    assert first.index not in {p.index for p in without}


def test_an_ordered_variant_comes_from_a_simpler_structure(proposer: Proposer) -> None:
    """Of three orbits with two elements, the elements may be told apart anew."""
    changed = [p for p in proposer.proposals({LI: 1, TI: 1, O: 2}) if p.changes]
    assert changed
    for proposal in changed:
        template = proposer.table[proposal.index]
        old = [o.number for o in template.form.orbits]
        assert len({*zip(old, proposal.numbers, strict=True)}) > min(len(set(old)), len(set(proposal.numbers)))


def test_decorated_skeletons_do_not_depend_on_the_origin() -> None:
    """Rock salt with the cation on `a` or on `b` is the same decorated skeleton."""
    table = load_templates()
    index = next(i for i in range(len(table)) if table[i].skeleton == (225, ("a", "b")))
    template = table[index]
    assert template.decorated([NA, CL]) == template.decorated([CL, NA])


def test_a_decorated_template_has_the_volume_of_its_elements(proposer: Proposer) -> None:
    form = canonical(symmetric(prototype("O3 NaCoO2").crystal))
    index = next(
        i for i in np.flatnonzero(proposer.table.groups == form.group)
        if proposer.table[i].composition == {NA: 1, CO: 1, O: 2}
    )  # fmt: skip
    template = proposer.table[index]
    numbers = [{NA: LI, CO: CO, O: O}[o.number] for o in template.form.orbits]
    smaller = decorate(template, numbers, proposer.volumes_A3).to_crystal()
    v = proposer.volumes_A3
    expected = template.volume_A3 * (v[LI] + v[CO] + 2 * v[O]) / (v[NA] + v[CO] + 2 * v[O])
    assert smaller.volume_A3 == pytest.approx(expected, rel=1e-4)


def test_the_judge_prefers_the_structure_that_chemists_know(proposer: Proposer) -> None:
    """LiCrO2 without its own template: the layered one of its sisters, space group 166."""
    judge = Judge(shipped("orbits.safetensors"))
    content = {LI: 1, 24: 1, O: 2}
    own = [i for i in range(len(proposer.table)) if proposer.table[i].composition == content]
    proposals = proposer.proposals(content, own)
    chances = judge.log_probabilities(proposer, proposals)
    assert np.exp(chances).sum() == pytest.approx(1.0)
    assert proposer.table[proposals[int(chances.argmax())].index].form.group == 166
    assert features(proposer, proposals).shape[0] == len(proposals)
    assert np.isfinite(features(proposer, proposals)).all()
