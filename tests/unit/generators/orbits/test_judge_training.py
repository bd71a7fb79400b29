"""The judge learns from a table of templates; labels once made are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from redoxa.data.errors import InputError
from redoxa.data.symmetry.skeletons import load_templates, write_templates
from redoxa.generators.exchange.proposals import Proposer
from redoxa.generators.orbits.judge import Judge
from redoxa.generators.orbits.judge_training import JudgeConfig, train_judge


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every template of two stoichiometries: small enough to label in seconds, with something to learn."""
    templates = load_templates()
    counts = np.sort(templates.compositions, axis=1)[:, -3:]
    chosen = np.flatnonzero(((counts == [0, 1, 1]).all(1) | (counts == [0, 1, 2]).all(1)) & (templates.groups > 100))
    path = tmp_path_factory.mktemp("table") / "templates.parquet"
    write_templates(path, [templates[int(i)] for i in chosen])
    return path


def test_training_learns_and_goes_on(table: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    config = JudgeConfig(queries=60, epochs=60)
    weights = train_judge(tmp_path, config, table, 1, lambda *step: seen.append(step))
    assert ("label", 60, 60) in seen
    labels = (tmp_path / "labels.jsonl").read_text()
    assert labels.count("\n") == 60
    assert labels.count("true") > 30
    first = load_file(weights)
    (tmp_path / "labels.jsonl").write_text(labels + '{"table": "cut sho')  # killed while writing
    seen.clear()
    again = load_file(train_judge(tmp_path, config, table, 1, lambda *step: seen.append(step)))
    assert all(np.array_equal(again[name], first[name]) for name in first)
    assert not [s for s in seen if s[0] == "label"]
    judge, proposer = Judge(weights), Proposer(load_templates(table))
    proposals = proposer.proposals({11: 1, 17: 1})
    chances = judge.log_probabilities(proposer, proposals)
    assert np.exp(chances).sum() == pytest.approx(1.0)
    assert chances.max() > np.log(2.0 / len(proposals))  # it has an opinion


def test_a_file_that_is_no_judge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="judge"):
        Judge(path)
