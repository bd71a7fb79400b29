"""What all trainings of models of formulas keep: killed and begun again, they go on to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.training.loop import Task, TrainConfig, Trainer, train
from redoxa.generators.training.workers import workers


def killed_and_gone_on(
    task: Callable[[], Task[Any]], whole: TrainConfig, killed: TrainConfig
) -> dict[str, torch.Tensor]:
    """What is written after a kill at step 13, shown to be what a training that was never killed writes."""
    never_killed = read_tensors(train(task, whole))[0]
    with workers(1, "cpu", lambda worker: None) as worker:
        trainer = Trainer(task(), killed, worker)
        batches = trainer._batches()
        killed.out.mkdir()
        for _ in range(13):
            trainer.advance(next(batches))
        trainer.save()
    gone_on = read_tensors(train(task, killed, resume=True))[0]
    assert gone_on.keys() == never_killed.keys()
    assert all(torch.equal(tensor, never_killed[name]) for name, tensor in gone_on.items())
    return gone_on
