"""Models of formulas by their names. Adding one is a file here and a line in `FAMILIES`.

An installed package adds its own by entry points in the group ``redoxa.families``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from redoxa.data.errors import InputError, UnknownKindError
from redoxa.data.registry import load, registered
from redoxa.data.shipped import shipped

if TYPE_CHECKING:
    from redoxa.generators.composition.family import StoredFamily

FAMILIES: Final = registered(
    "families",
    {
        "dbm": "redoxa.generators.composition.boltzmann.multimodal_family:DbmFamily",
        "dbn": "redoxa.generators.composition.boltzmann.deep_family:DbnFamily",
        "exchange": "redoxa.generators.composition.baselines:ExchangeFamily",
        "hmm": "redoxa.generators.composition.autoregressive:MarkovFamily",
        "independent": "redoxa.generators.composition.baselines:IndependentFamily",
        "lstm": "redoxa.generators.composition.sequence:SequenceFamily",
        "mixture": "redoxa.generators.composition.baselines:MixtureFamily",
        "rbm": "redoxa.generators.composition.boltzmann.family:RbmFamily",
        "softmax": "redoxa.generators.composition.boltzmann.softmax:SoftmaxFamily",
        "transformer": "redoxa.generators.composition.sequence:SequenceFamily",
        "wgan": "redoxa.generators.composition.adversarial.family:WganFamily",
    },
)

MODELS: Final = {
    "dbm": "deep Boltzmann machine", "dbn": "deep belief network", "exchange": "substitution",
    "hmm": "hidden Markov model", "independent": "product of elements", "lstm": "recurrent network",
    "mixture": "mixture model", "rbm": "restricted Boltzmann machine", "softmax": "replicated softmax",
    "transformer": "autoregressive transformer", "wgan": "adversarial network",
}  # fmt: skip
"""Kinds of model, by family; an added family says its own in its name."""

KIND: Final = "model of formulas"
"""What a family is called."""

DEFAULT_FAMILY: Final = "lstm"
"""Taken where none is named."""

HAVE_FAMILIES: Final = frozenset({"composition"})
"""Generators of which there is one for each family."""


def source_name(generator: str, family: str | None) -> str:
    """What stores and reports call a generator that may be of a family: ``flow``, ``composition (mixture)``."""
    return generator if family is None else f"{generator} ({family})"


def check_family_of(generator: str, family: str) -> None:
    """Refuse a family that a generator cannot be of.

    Raises:
        InputError: the generator has none, or not this one.
    """
    if generator not in HAVE_FAMILIES:
        raise InputError(f"{generator} has no families; leave family out, or take {' or '.join(sorted(HAVE_FAMILIES))}")
    if family not in FAMILIES:
        raise UnknownKindError(KIND, family, FAMILIES)


def family_class(name: str) -> type[StoredFamily]:
    """The class of a registered model of formulas.

    Raises:
        data.errors.UnknownKindError: no such model; the message suggests the nearest one.
    """
    kind: type[StoredFamily] = load(FAMILIES, KIND, name)
    return kind


def family_in(path: Path, wanted: str | None = None) -> str:
    """The name of the model of formulas that a file holds.

    Raises:
        InputError: the file holds none, or another than is wanted; says what it holds instead.
    """
    from redoxa.generators.checkpoint import checkpoint_format, read_header

    held = read_header(path).get("format", "")
    for name in FAMILIES:
        if held != checkpoint_format(f"composition-{name}"):
            continue
        if wanted not in (None, name):
            raise InputError(f"{path}: holds a model of the family {name}; {wanted} was asked for")
        return name
    raise InputError(f"{path}: holds {held or 'weights of unknown origin'}, none of the models {', '.join(FAMILIES)}")


def open_family(path: Path) -> StoredFamily:
    """The model of formulas that a file holds.

    Raises:
        InputError: the file holds none, or a broken one.
    """
    return family_class(family_in(path)).load(path)


def shipped_weights(name: str) -> Path:
    """The file of a model of formulas that comes with the package.

    Raises:
        data.errors.UnknownKindError: no such model.
        InputError: none comes with it; says how to train one.
    """
    if name not in FAMILIES:
        raise UnknownKindError(KIND, name, FAMILIES)
    path = shipped(f"composition_{name}.safetensors")
    if not path.exists():
        raise InputError(
            f"no trained {name} comes with this version: make one by `redoxa train --generator composition-{name} "
            "TABLE` and name its file as checkpoint"
        )
    return path


def shipped_family(name: str) -> StoredFamily:
    """A model of formulas that comes with the package; errors as of `shipped_weights`."""
    return open_family(shipped_weights(name))
