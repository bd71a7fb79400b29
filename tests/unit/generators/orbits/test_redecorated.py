"""Contents on the orbits of any skeleton: exact, new, the likeliest first, and the same whatever else is asked."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from data.skeletons import load_templates
from generators.exchange.proposals import Proposer
from generators.orbits.decorator import load_decorator, log_likelihood
from generators.orbits.generator import shipped_checkpoint
from generators.orbits.judge import Judge
from generators.orbits.orbit_graph import GraphBatch, OrbitGraph
from generators.orbits.prediction import NOVEL, Predictor
from generators.orbits.redecorated import Redecorator

LI, O, TI, CR, CU = 3, 8, 22, 24, 29
CONTENT = {LI: 1, TI: 1, CR: 1, CU: 1}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    path = shipped_checkpoint()
    return Predictor(Proposer(load_templates()), Judge(path), load_decorator(path))


def test_decorations_are_exact_distinct_and_new(predictor: Predictor) -> None:
    table, redecorator = predictor.proposer.table, predictor.redecorator
    first = redecorator.proposals(CONTENT, (), 5)
    assert len(first) == 5
    keys = [repr(table[r.proposal.index].decorated(r.proposal.numbers)) for r in first]
    assert len(set(keys)) == 5
    for found in first:
        assert Counter(predictor.proposer.form(found.proposal).to_crystal().numbers) == CONTENT
    chances = [found.log_probability for found in first]
    assert chances == sorted(chances, reverse=True)
    others = redecorator.proposals(CONTENT, keys[:2], 5)
    assert not {repr(table[r.proposal.index].decorated(r.proposal.numbers)) for r in others} & set(keys[:2])


def test_elements_hidden_from_skeletons_still_find_perovskite() -> None:
    """Nothing but the geometry says which orbit is whose."""
    redecorator = Redecorator(load_templates(), load_decorator(shipped_checkpoint()))
    (best, *_) = redecorator.proposals({38: 1, TI: 1, O: 3}, (), 3)
    template = redecorator.table[best.proposal.index]
    assert template.form.group == 221
    atoms = dict(zip(best.proposal.numbers, template.atoms, strict=True))
    assert atoms == {38: 1, TI: 1, O: 3}


def test_they_share_little_and_probabilities_add_up(predictor: Predictor) -> None:
    key = tuple(sorted({LI: 2, TI: 1, CR: 1, O: 4}.items()))
    (judged,) = predictor._judged([predictor._proposals(key, frozenset())])
    joined = predictor._with_novel(judged, key, frozenset())
    assert len(joined) > len(judged)
    novel = [option for option in joined if not option.proposal.distances]
    total = torch.tensor([option.log_probability for option in joined]).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-5)
    assert float(torch.tensor([o.log_probability for o in novel]).exp().sum()) == pytest.approx(NOVEL, rel=1e-4)


def test_a_content_is_judged_alike_in_any_company(predictor: Predictor) -> None:
    keys = [tuple(sorted(c.items())) for c in ({LI: 1, TI: 1, O: 2}, {LI: 1, CR: 1, O: 2})]
    proposals = [predictor._proposals(key, frozenset()) for key in keys]
    (alone,) = predictor._judged(proposals[1:])
    _, together = predictor._judged(proposals)
    assert [o.log_probability for o in together] == pytest.approx([o.log_probability for o in alone], abs=1e-4)
    assert predictor._judged([[]]) == [[]]


def test_orders_are_shared_by_all_crystals(predictor: Predictor) -> None:
    form = predictor.proposer.table[len(predictor.proposer.table) // 2].form
    types = torch.tensor([[orbit.number for orbit in form.orbits]]).repeat(3, 1)
    graphs = GraphBatch.of([OrbitGraph.of(form)] * 3)
    with torch.inference_mode():
        scores = log_likelihood(predictor.decorator, types, graphs, torch.Generator().manual_seed(1), orders=1)
    assert scores.tolist() == pytest.approx([float(scores[0])] * 3, abs=1e-4)
