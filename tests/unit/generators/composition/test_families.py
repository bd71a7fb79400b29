"""Models of formulas by name, in files that say what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redoxa.data.errors import InputError, UnknownKindError
from redoxa.data.shipped import shipped
from redoxa.generators.base import Condition
from redoxa.generators.composition.adversarial.family import WganFamily
from redoxa.generators.composition.adversarial.network import WganConfig
from redoxa.generators.composition.autoregressive import MarkovFamily
from redoxa.generators.composition.baselines import ExchangeFamily, IndependentFamily, MixtureFamily
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.deep import DbnConfig
from redoxa.generators.composition.boltzmann.deep_family import DbnFamily
from redoxa.generators.composition.boltzmann.family import RbmFamily
from redoxa.generators.composition.boltzmann.multimodal import DbmConfig
from redoxa.generators.composition.boltzmann.multimodal_family import DbmFamily
from redoxa.generators.composition.boltzmann.network import RbmConfig
from redoxa.generators.composition.boltzmann.softmax import SoftmaxConfig, SoftmaxFamily
from redoxa.generators.composition.families import (
    FAMILIES,
    family_class,
    family_in,
    open_family,
    shipped_family,
)
from redoxa.generators.composition.family import StoredFamily
from redoxa.generators.composition.network import NetworkConfig
from redoxa.generators.composition.sequence import SequenceFamily
from redoxa.generators.training.loop import TrainConfig
from tests.unit.generators.composition.tiny import FORMULAS, TINY


def trained(name: str, out: Path) -> StoredFamily:
    """A model of this name that has learned a little."""
    training = TrainConfig(out=out, steps=3, workers=1, log_every=1, save_every=3)
    family: StoredFamily = {
        "dbm": lambda: DbmFamily(TINY, DbmConfig(6, 6, 2), training, RbmConfig(hidden=8, chains=16), Anneal(20, 20)),
        "dbn": lambda: DbnFamily(TINY, DbnConfig(6, 16), training, RbmConfig(hidden=8, chains=16), Anneal(20, 20)),
        "exchange": lambda: ExchangeFamily(TINY),
        "hmm": lambda: MarkovFamily(TINY, 4),
        "independent": lambda: IndependentFamily(TINY),
        "lstm": lambda: SequenceFamily(TINY, NetworkConfig("lstm", 16, 1), training),
        "mixture": lambda: MixtureFamily(TINY, 4),
        "softmax": lambda: SoftmaxFamily(TINY, SoftmaxConfig(hidden=8, steps=20), Anneal(20, 20)),
        "rbm": lambda: RbmFamily(TINY, RbmConfig(hidden=8, chains=16), training, Anneal(20, 20)),
        "transformer": lambda: SequenceFamily(TINY, NetworkConfig("attention", 16, 1), training),
        "wgan": lambda: WganFamily(TINY, WganConfig(), training),
    }[name]()
    family.fit(FORMULAS, seed=0)
    return family


@pytest.mark.parametrize("name", FAMILIES)
def test_what_was_learned_is_written_and_read_exactly(name: str, tmp_path: Path) -> None:
    family, file = trained(name, tmp_path / "training"), tmp_path / "weights.safetensors"
    family.save(file)
    assert family_in(file) == name
    again = open_family(file)
    assert type(again) is type(family) is family_class(name)
    assert again.grammar == family.grammar
    everything = TINY.everything()
    assert (again.log_probability(everything).nats == family.log_probability(everything).nats).all()
    asked = Condition(required=frozenset({3}), n_atoms=(1, 20))
    drawn = [one.sample(20, asked, np.random.default_rng(1)) for one in (family, again)]
    assert drawn[0] == drawn[1]


def test_another_file_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds redoxa-wyckoff-\d+, none of the models dbm, dbn, exchange"):
        open_family(shipped("wyckoff.safetensors"))
    with pytest.raises(InputError, match="holds weights of unknown origin, none of the models dbm, dbn, exchange"):
        open_family(shipped("orbits.safetensors"))
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(InputError, match="text: cannot be read as a checkpoint"):
        open_family(tmp_path / "text")
    with pytest.raises(InputError, match="nothing: cannot be read as a checkpoint"):
        open_family(tmp_path / "nothing")
    trained("mixture", tmp_path).save(tmp_path / "mixture")
    with pytest.raises(InputError, match="format 'redoxa-composition-mixture-1' is not 'redoxa-composition-hmm-1'"):
        MarkovFamily.load(tmp_path / "mixture")


def test_a_family_that_does_not_ship_says_how_to_train_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("redoxa.generators.composition.families.shipped", tmp_path.joinpath)
    with pytest.raises(InputError, match=r"no trained hmm comes .* `redoxa train --generator composition-hmm TABLE`"):
        shipped_family("hmm")
    trained("hmm", tmp_path).save(tmp_path / "composition_hmm.safetensors")
    assert shipped_family("hmm").name == "hidden Markov"


def test_an_unknown_family_suggests_the_nearest() -> None:
    with pytest.raises(UnknownKindError, match=r"'mixtures' is not a model of formulas\. Did you mean 'mixture'"):
        shipped_family("mixtures")
