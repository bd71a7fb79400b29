"""Elements on orbits: the graph says nothing of sizes, likelihoods add up, and masks hold."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates, write_templates
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.orbits.decoration.decorator import (
    Decorator,
    DecoratorConfig,
    Drawing,
    load_decorator,
    log_likelihood,
    reveal,
)
from redoxa.generators.orbits.decoration.decorator_training import DecoratorTask, prepare_graphs
from redoxa.generators.orbits.decoration.orbit_graph import SHELLS, GraphBatch, OrbitGraph
from redoxa.generators.training.loop import TrainConfig, train

LI, O, F, P, CL, FE, CO = 3, 8, 9, 15, 17, 26, 27


@pytest.fixture(scope="module")
def network() -> Decorator:
    return load_decorator(shipped("orbits.safetensors"))


def graph(name: str) -> tuple[OrbitGraph, list[int]]:
    form = symmetric(prototype(name).crystal)
    return OrbitGraph.of(form), [orbit.number for orbit in form.orbits]


def test_a_graph_counts_neighbours_whatever_the_size() -> None:
    form = SymmetricCrystal(225, (Orbit("a", 12, ()), Orbit("b", 8, ())), (4.21,))
    small, large = OrbitGraph.of(form), OrbitGraph.of(replace(form, lengths_A=(2 * form.lengths_A[0],)))
    assert small.shells == pytest.approx(large.shells, abs=1e-4)
    assert small.atoms.tolist() == [1, 1]
    # In units of the cube of one atom, the six nearest neighbours of rock salt are at 1: the bumps there add up to 6.
    near = np.abs(SHELLS - 1.0) < 0.2
    weights = np.maximum(1 - ((1.0 - SHELLS) / (1.5 * (SHELLS[1] - SHELLS[0]))) ** 2, 0) ** 2
    assert small.shells[0, 1][near] == pytest.approx(6 * weights[near], rel=1e-3)


def test_chemists_decoration_is_likelier_than_its_reverse(network: Decorator) -> None:
    found, numbers = graph("olivine LiFePO4")
    swapped = [{LI: P, P: LI}.get(z, z) for z in numbers]
    graphs = GraphBatch.of([found, found])
    likely, unlikely = log_likelihood(network, torch.tensor([numbers, swapped]), graphs, torch.Generator()).tolist()
    assert likely > unlikely + 10


def test_the_likelihood_of_one_orbit_is_the_softmax(network: Decorator) -> None:
    form = SymmetricCrystal(225, (Orbit("a", 29, ()),), (3.61,))
    graphs = GraphBatch.of([OrbitGraph.of(form)])
    with torch.inference_mode():
        logits = network(torch.tensor([[MASK]]), graphs)[0]
        score = log_likelihood(network, torch.tensor([[29]]), graphs, torch.Generator(), orders=3)
    assert score.item() == pytest.approx(logits.log_softmax(-1)[0, 0, 29].item(), abs=1e-5)


def test_masks_hold_and_what_is_given_stays(network: Decorator) -> None:
    found, numbers = graph("olivine LiFePO4")
    given = torch.tensor([[O if z == O else MASK for z in numbers]] * 64)
    allowed = torch.zeros(N_TYPES, dtype=torch.bool)
    allowed[[LI, P, FE, CO]] = True
    drawn = reveal(
        network, given, GraphBatch.of([found] * 64), Drawing(allowed, frozenset({CO})), torch.Generator().manual_seed(0)
    ).types
    assert (drawn == CO).any(1).all()
    assert ((drawn == O) == (given == O)).all()
    assert set(drawn.flatten().tolist()) <= {LI, O, P, FE, CO}
    again = reveal(
        network, given, GraphBatch.of([found] * 64), Drawing(allowed, frozenset({CO})), torch.Generator().manual_seed(0)
    ).types
    assert (drawn == again).all()


def test_elements_of_rock_salt_are_learned_from_a_small_table(tmp_path: Path) -> None:
    templates = load_templates()
    chosen = [int(i) for i in np.flatnonzero(templates.groups == 225) if np.diff(templates.first_orbit)[i] == 2]
    table = tmp_path / "templates.parquet"
    write_templates(table, [templates[i] for i in chosen])
    data = tmp_path / "graphs.safetensors"
    prepare_graphs(load_templates(table), data)
    assert int(DecoratorTask(data).tensors["held_out"].sum()) == len(chosen) // 10 < 20
    prepare_graphs(load_templates(table), data, holdout=20)  # a number that is asked for is kept, a tenth or not
    task = DecoratorTask(data, DecoratorConfig(hidden=32, edge=24, layers=2))
    held_out = {int(i) for rows in task.held_out() for i in rows}
    trained = {int(i) for rows in task.epoch(0, 0) for i in rows}
    assert len(held_out) == 20
    assert held_out | trained == set(range(len(chosen)))
    assert not held_out & trained
    lines: list[dict[str, float]] = []
    config = TrainConfig(
        tmp_path, steps=250, decay_steps=150, warmup_steps=20, rate=5e-3, save_every=250, log_every=250
    )
    weights = train(partial(DecoratorTask, data, task.size), config, lines.append)
    assert lines[-1]["held_out_nats"] < 2 * np.log(N_TYPES) - 0.2  # two orbits of any element: 9.29 nats
    assert load_decorator(weights).config == task.size


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.safetensors"):
        load_decorator(tmp_path / "nothing.safetensors")
