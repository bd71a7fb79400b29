"""Training of the judge on the memory itself: each template is asked for with itself left out.

Which proposals are right is what pymatgen's `StructureMatcher` says (with the tolerances of the published match rates),
some 10 ms a proposal; those answers are kept in a file, so that a killed training goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn

from redoxa.data.errors import InputError, StructureError
from redoxa.data.progress import OnProgress
from redoxa.data.structures import to_structure
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.checkpoint import write_tensors
from redoxa.generators.exchange.proposals import CHANGED, PLAIN, Proposer
from redoxa.generators.orbits.judge import features

MATCHER = {"stol": 0.5, "ltol": 0.3, "angle_tol": 10}

LEAST_ANSWERS = 5
"""Templates that others must answer rightly, for a judge to be trained."""


@dataclass(frozen=True)
class JudgeConfig:
    """How the judge is trained.

    Attributes:
        queries: templates that are asked for, drawn at random.
        hidden: width of the first layer; the second has half of it.
        epochs: passes over the queries.
        batch: queries a step.
        rate: largest learning rate; one cycle.
        decay: weight decay.
        dropout: share of hidden units left out in training.
        average: weight of each step in the running average of the weights, which is what is kept.
        seed: of queries, weights and order.
    """

    queries: int = 4000
    hidden: int = 64
    epochs: int = 10
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    dropout: float = 0.2
    average: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class _Query:
    """What the judge sees [p,f], and which proposals are right [p]."""

    features: Floats
    right: list[bool]


def train_judge(out: Path, config: JudgeConfig, table: Path | None, workers: int, on_step: OnProgress) -> Path:
    """Label, train, and write ``judge.safetensors``; labels are kept in ``labels.jsonl``.

    Args:
        out: folder.
        config: how.
        table: templates; by default those that ship.
        workers: processes that label.
        on_step: called with what is done, how much of it, and of how much.

    Raises:
        InputError: too few templates are like another.
    """
    out.mkdir(parents=True, exist_ok=True)
    proposer = Proposer(load_templates(table))
    order = np.random.default_rng(config.seed).permutation(len(proposer.table))[: config.queries].tolist()
    labels = _labels(out / "labels.jsonl", order, proposer.table, table, workers, on_step)
    queries = []
    answerable = [index for index in order if any(labels[index])]
    if len(answerable) < LEAST_ANSWERS:
        raise InputError(
            f"orbits learns from crystals that share their structure with another: "
            f"{len(answerable)} of {len(order)} are such, {LEAST_ANSWERS} are needed at least"
        )
    for index in answerable:
        proposals = proposer.proposals(proposer.table[index].composition, [index])
        queries.append(_Query(features(proposer, proposals), labels[index]))
        on_step("describe", len(queries), len(answerable))
    weights = _fit(queries, config, on_step)
    path = out / "judge.safetensors"
    facts = {"table_sha256": proposer.table.sha256, "queries": str(len(order)), "answerable": str(len(queries))}
    write_tensors(path, {f"judge.{name}": tensor for name, tensor in weights.items()}, facts)
    return path


def _labels(
    file: Path, order: list[int], table: TemplateTable, path: Path | None, workers: int, on_step: OnProgress
) -> dict[int, list[bool]]:
    """Right or wrong for the proposals of each query; what the file holds of this table is not worked out again."""
    known: dict[int, list[bool]] = {}
    if file.exists():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("}\n")]  # the last may have been cut short by a kill
        file.write_text("".join(whole), encoding="utf-8")
        rows = [json.loads(line) for line in whole]
        known = {row["index"]: row["right"] for row in rows if row["table"] == table.sha256}
    missing = [index for index in order if index not in known]
    with file.open("a", encoding="utf-8") as sink, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        answers = pool.map(_label, missing, [path] * len(missing), chunksize=8)
        for done, (index, right) in enumerate(answers, len(order) - len(missing) + 1):
            known[index] = right
            sink.write(json.dumps({"table": table.sha256, "index": index, "right": right}) + "\n")
            on_step("label", done, len(order))
    return known


@cache
def _proposer(path: Path | None) -> Proposer:
    return Proposer(load_templates(path))


def _label(index: int, path: Path | None) -> tuple[int, list[bool]]:
    """Which proposals for a template's content, itself left out, match its crystal."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    proposer = _proposer(path)
    template = proposer.table[index]
    truth, right = to_structure(template.form.to_crystal()), []
    for proposal in proposer.proposals(template.composition, [index]):
        try:
            answer = to_structure(proposer.form(proposal).to_crystal())
        except StructureError:
            right.append(False)
            continue
        # Both are primitive cells unless the proposal is repeated; looking for smaller ones would double the time.
        matcher = StructureMatcher(**MATCHER, primitive_cell=proposal.cells > 1)
        right.append(matcher.get_rms_dist(answer, truth) is not None)
    return index, right


def _fit(queries: list[_Query], config: JudgeConfig, on_step: OnProgress) -> dict[str, torch.Tensor]:
    """Minimise the cross-entropy of the right proposals; the averaged weights and the scaling of the features."""
    seen = np.concatenate([query.features for query in queries])
    mean, spread = seen.mean(0), seen.std(0) + 1e-3
    shape = len(queries), PLAIN + CHANGED
    x, real, right = torch.zeros(*shape, len(mean)), torch.zeros(shape).bool(), torch.zeros(shape).bool()
    for i, query in enumerate(queries):
        count = len(query.right)
        x[i, :count] = torch.from_numpy((query.features - mean) / spread).float()
        real[i, :count] = True
        right[i, :count] = torch.tensor(query.right)
    torch.manual_seed(config.seed)
    network = nn.Sequential(
        nn.Linear(len(mean), config.hidden), nn.SiLU(), nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.hidden // 2), nn.SiLU(), nn.Dropout(config.dropout),
        nn.Linear(config.hidden // 2, 1),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.decay)
    steps = config.epochs * -(-len(queries) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=steps)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    for step, batch in enumerate(_batches(len(queries), config)):
        logits = network(x[batch])[..., 0].masked_fill(~real[batch], -torch.inf)
        hit = logits.masked_fill(~right[batch], -torch.inf).logsumexp(1)
        loss = (logits.logsumexp(1) - hit).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        for name, value in network.state_dict().items():
            average[name].lerp_(value, config.average)
        on_step("train", step + 1, steps)
    kept = {"mean": torch.from_numpy(mean), "spread": torch.from_numpy(spread)}
    for i, layer in enumerate((0, 3, 6)):
        kept |= {f"weight{i}": average[f"{layer}.weight"], f"bias{i}": average[f"{layer}.bias"]}
    return kept


def _batches(count: int, config: JudgeConfig) -> Iterator[torch.Tensor]:
    """Indices of the queries of each step."""
    order = torch.Generator().manual_seed(config.seed)
    for _ in range(config.epochs):
        shuffled = torch.randperm(count, generator=order)
        yield from (shuffled[first : first + config.batch] for first in range(0, count, config.batch))
