"""Generators that fall short: what they found is handed on, with a note."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep, nothing
from redoxa.data.storage.store import Store
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import Condition, Generator, Predicted, ShortfallError, Target
from redoxa.generators.evaluate.families import Families, family
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.session import opened, register
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.tasks import sampling
from redoxa.pipeline.tasks.sampling import drawn

LAYERED = prototype("O3 LiCoO2").crystal
ELECTRODE = Condition(required=frozenset({3}), targets=(Target("average_voltage", 3.0),))


class Stub:
    """Finds so many crystals a call, in turn; the last number again and again."""

    name: ClassVar[str] = "stub"
    summary: ClassVar[str] = "falls short"
    aims: ClassVar[frozenset[str]] = frozenset()
    checkpoint_sha256: str | None = None
    most: ClassVar[tuple[int, ...]] = (3,)

    def __init__(self, checkpoint: Path | None = None) -> None:
        del checkpoint
        self.calls = list(self.most)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """As many as this call finds."""
        found = min(n, self.calls[0])
        self.calls = self.calls[1:] or self.calls
        if found < n:
            raise ShortfallError("no more is known", [Predicted(LAYERED, "a")] * found)
        return CrystalBatch.from_crystals([LAYERED] * n), ["a"] * n


def stub(*most: int) -> Generator:
    made = Stub()
    made.calls = list(most)
    return made


@pytest.mark.parametrize("condition", [Condition(), ELECTRODE])
def test_a_shortfall_is_a_note(condition: Condition) -> None:
    made = drawn(stub(3), 5, condition, 0, nothing)
    assert (len(made.answers), made.notes) == (3, ("only 3 of 5: no more is known",))
    assert drawn(stub(9), 5, condition, 0, nothing).notes == ()


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(GenerationError, match="no more is known"):
        drawn(stub(0), 5, Condition(), 0, nothing)


def test_each_chunk_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "CHUNK", 4)
    assert drawn(stub(4, 2, 4), 12, Condition(), 0, nothing).notes == ("only 10 of 12: no more is known",)
    assert len(drawn(stub(4, 0), 12, Condition(), 0, nothing).answers) == 4


def test_a_campaign_goes_on_with_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "generator_class", lambda _: Stub)
    spec = CampaignSpec.model_validate({"name": "short", "generate": [{"kind": "template", "count": 5}]})
    where, heard = str(tmp_path / "s.db"), list[str]()
    with opened(where, register(where, spec)) as session:
        session.note = heard.append
        assert stages.generate_chunk(where, spec.id, 0, "template", 0) == 3
        assert stages.pending_chunks(where, spec.id, 0) == []
    assert heard == ["generate template, round 1: only 3 of 5: no more is known"]
    (cost,) = Store.open(where).costs(spec.id)
    assert (cost.entered, cost.passed) == (5, 3)


def test_a_campaign_without_a_single_sample_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "generator_class", lambda _: Stub)
    monkeypatch.setattr(Stub, "most", (0,))
    spec = CampaignSpec.model_validate({"name": "none", "generate": [{"kind": "template", "count": 5}]})
    where = str(tmp_path / "s.db")
    with opened(where, register(where, spec)), pytest.raises(GenerationError, match="only 0 of 5: no more is known"):
        stages.generate_chunk(where, spec.id, 0, "template", 0)


def test_the_best_of_several_are_those_that_may_be_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of families that no known material and no earlier chunk has; with targets alone nearly all are known."""
    monkeypatch.setattr(stages, "CHUNK", 8)
    families = Families(load_known_materials())

    def drawn(best_of: int) -> list[set[str]]:
        """Families by chunk; the second is of the same round, the third of the next."""
        step = {"kind": "orbits", "count": 16, "best_of": best_of}
        goal = {"working_ion": "Li", "objectives": {"average_voltage": {"min": 2.5, "max": 4.0}}}
        spec = CampaignSpec.model_validate({"name": f"best-{best_of}", "goal": goal, "generate": [step]})
        where, chunks = str(tmp_path / f"{best_of}.db"), []
        with opened(where, register(where, spec)) as session:
            for number, (round_, chunk) in enumerate([(0, 0), (0, 1), (1, 0)]):
                assert stages.generate_chunk(where, spec.id, round_, "orbits", chunk) == 8
                crystals = [one.crystal for one in session.store.candidates(spec.id)][8 * number :]
                chunks.append({family(one.composition) for one in crystals if not families.knows(one.composition)})
        return chunks

    plain, best = drawn(1), drawn(16)
    assert sum(map(len, best)) >= sum(map(len, plain)) + 3
    assert not best[0] & best[1]
    assert not (best[0] | best[1]) & best[2]
