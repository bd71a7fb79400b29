from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import InputError
from data.provenance import read_provenance, sha256_of
from generators.training.loop import TrainConfig
from pipeline.train import train_to_folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twenty cubic crystals of two atoms, as a file of structures."""
    cells = [np.diag([a, a, a]).ravel().tolist() for a in np.linspace(3.0, 4.0, 20)]
    rows = {
        "atomic_numbers": [[3, 9]] * 20,
        "frac_coords": [[0.0, 0.0, 0.0, 0.5, 0.5, 0.5]] * 20,
        "cell": cells,
        "n_atoms": 2,
        "formula": [f"LiF{i}" for i in range(20)],
        "energy_above_hull": 0.0,
    }
    path = tmp_path / "some.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_weights_come_with_a_record_of_how_they_were_made_and_another_batch_size_does_not_resume(table: Path) -> None:
    out = table.parent / "run"
    config = TrainConfig(out, steps=2, decay_steps=1, save_every=1, log_every=1, seed=7, device="cpu")
    weights = train_to_folder("flow", table, config, hosts=None, start=None, rate=2e-3, edges=480, resume=True)
    record = read_provenance(weights)
    assert record.sha256 == sha256_of(weights)
    assert [(s.name, s.sha256) for s in record.sources] == [("some.parquet", sha256_of(table))]
    said = "redoxa train --generator flow --data some.parquet --steps 2 --rate 0.002 --edges 480 --seed 7 --workers 1"
    assert record.command == said
    last = json.loads(config.log.read_text().splitlines()[-1])
    assert record.facts["step"] == last["step"] == 2
    assert record.facts["held_out_loss"] == last["held_out_loss"]
    assert last["rate"] == pytest.approx(
        2e-3 * 3 / 500 / 100
    )  # the third step of a rise over 500, at the end of the decay
    with pytest.raises(InputError, match="edges_per_batch"):
        train_to_folder("flow", table, config, hosts=None, start=None, rate=2e-3, edges=960, resume=True)
