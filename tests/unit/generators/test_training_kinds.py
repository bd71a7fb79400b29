"""What `redoxa train` offers follows from what each network declares."""

from __future__ import annotations

from typing import get_args

import pytest

from redoxa.data.errors import InputError, UnknownKindError
from redoxa.generators import GENERATORS, TRAININGS
from redoxa.generators.training.kinds import Option, Training, training_of
from redoxa.pipeline.commands.science import train

REFUSALS = {
    "start": "--start: {} begins with random weights",
    "rate": "--rate: {} has a fixed one",
    "hosts": "--hosts: {} learns no voltages",
    "edges": "--edges is of flow and diffusion; leave it out to train {}",
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_is_whole(name: str) -> None:
    training = training_of(name)
    assert isinstance(training, Training)
    assert training.name == name
    assert (training.task is None) == (training.learns == "templates" or training.fit is not None)
    assert (training.steps == 0) == (training.fit is not None)
    assert "{1}" in training.next
    told = training.next.format(name, "weights.safetensors")
    if "redoxa generate" in told:  # what generates, or says what it is for
        assert told.partition("--generator ")[2].split()[0] in GENERATORS


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("option", get_args(Option))
def test_an_option_is_taken_or_refused_with_the_reason(name: str, option: Option) -> None:
    training = training_of(name)
    training.check(training.options)
    if option not in training.options:
        refusal = "--{1}: {0} is fitted at once, without; leave it out" if training.fit else REFUSALS[option]
        with pytest.raises(InputError, match=refusal.format(name, option)):
            training.check([option])


def test_the_help_names_every_training_and_its_steps() -> None:
    told = train.__doc__ or ""
    for name in TRAININGS:
        assert name in told
        assert f"{training_of(name).steps:,}" in told


def test_an_unknown_network_suggests_the_nearest() -> None:
    with pytest.raises(UnknownKindError, match=r"'orbit' is not a network to train\. Did you mean 'orbits'"):
        training_of("orbit")
