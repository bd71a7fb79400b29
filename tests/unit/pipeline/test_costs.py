"""What stages take is written while they run, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.storage.rows import Cost
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign import costs
from redoxa.pipeline.campaign.costs import Meter


@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_seconds_that_are_written_early_are_not_written_again(
    every_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "EVERY_s", every_s)
    store = Store.open(tmp_path / "x.db")
    store.add_campaign("c1", "c", {})
    meter = Meter(store, "c1", 0)
    for seconds in (1.0, 1.0, 3.0):
        meter.so_far({"hull": seconds})
    assert store.costs("c1") == ([] if every_s else [Cost(0, "hull", 0, 0, 3.0)])
    meter.end([Cost(0, "hull", 5, 4, 3.5), Cost(0, "volume", 4, 4, 0.25)])
    assert store.costs("c1") == [Cost(0, "hull", 5, 4, 3.5), Cost(0, "volume", 4, 4, 0.25)]
    store.close()
