"""A campaign with one generator twice, of two families, one that ships and an own one, until the candidates of both are screened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from redoxa.data.storage.store import Store
from tests.campaign.conftest import here
from tests.formulas import small_exchange

CAMPAIGN = """
name: families
goal: {objectives: {average_voltage: {min: 1.0, max: 5.5}}}
chemistry: {allowed: [Ti, Mn, Fe, Co, Ni, O, S], atoms_per_cell: {min: 4, max: 6}}
generate:
  - {kind: composition, family: rbm, count: 3}
  - {kind: composition, family: exchange, checkpoint: exchange.safetensors, count: 3}
screen: {workers: 1, profile_states: 0}
lab: {driver: simulated, approval: auto}
"""


def test_two_families_of_one_generator_are_told_apart(tmp_path: Path) -> None:
    small_exchange(tmp_path / "exchange.safetensors")
    (tmp_path / "families.yaml").write_text(CAMPAIGN)
    done = here("run", "families.yaml", "--json", "--no-prefect", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.summary["counts"]["generated"] == 6
    store = Store.open(tmp_path / "runs" / "redoxa.db")
    (campaign,) = store.campaigns()
    candidates = store.candidates(campaign.id)
    assert Counter(one.origin.generator for one in candidates).keys() == {
        "composition (rbm)",
        "composition (exchange)",
    }
    assert len({one.origin.checkpoint_sha256 for one in candidates}) == 2
    assert store.chunks(campaign.id, 0) == {("composition (rbm)", 0), ("composition (exchange)", 0)}
    assert done.summary["counts"]["screened"] == len(candidates)
    report = (tmp_path / done.summary["report"]).read_text()
    for family in ("rbm", "exchange"):
        assert f"composition ({family})" in report
    store.close()
