"""What a generator is, and what can be asked of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.progress import OnStep
from redoxa.data.registry import load
from redoxa.generators import GENERATORS
from redoxa.generators.choice import Choice

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from redoxa.data.crystal import CrystalBatch
    from redoxa.data.records import Crystal
    from redoxa.data.symmetry.symmetric import SymmetricCrystal

CellContent = dict[int, int]
"""Exact content of a cell: atomic number -> count, e.g. ``{3: 4, 26: 4, 15: 4, 8: 16}``."""


def cells_of(formula: CellContent, max_atoms: int) -> list[CellContent]:
    """Cells of one, two, ... reduced formula units, as long as they hold at most so many atoms."""
    divisor = math.gcd(*formula.values())
    unit = {z: count // divisor for z, count in formula.items()}
    return [{z: count * k for z, count in unit.items()} for k in range(1, max_atoms // sum(unit.values()) + 1)]


@dataclass(frozen=True)
class Target:
    """A range that a property is to lie in, ends included; None for no end.

    Attributes:
        property: name as screening reports it, e.g. ``average_voltage``; see `TARGETS`.
        low: smallest value, in the unit of the property.
        high: largest value.
    """

    property: str
    low: float | None = None
    high: float | None = None


TARGETS = {
    "average_voltage": "V",
    "capacity_grav": "mAh/g",
    "stability_discharge": "eV/atom",
    "max_delta_volume": "1",
}
"""Properties that generators can aim at, with units; those of an electrode are of the required working ion."""


@dataclass(frozen=True)
class Condition:
    """What the samples must satisfy. Every field but `targets` is hard: a sample outside it is never returned.

    Attributes:
        allowed: atomic numbers that may occur; empty means every element the generator knows.
        required: atomic numbers that must occur (the working ion, say).
        contents: exact cell contents; when given, sample i has content i and n must equal its length.
        n_atoms: smallest and largest number of atoms in the cell (ignored where `contents` is given).
        charge_neutral: only compositions that common oxidation states can balance; `contents` that they cannot balance
            are refused or taken as they are.
        groups: space groups that the crystals may have at 0.01 A; empty means any.
        unlike_known: answers to a formula or to `contents` are to be other polymorphs than those that are known of it.
        like: a crystal whose skeleton is to be used (with it, `n_atoms` is ignored).
        keep: elements of `like` that stay where they are; the others are drawn. Where all stay, the required ones that
            are missing are put into its empty places.
        targets: aimed at, not promised: what a crystal's properties are only screening can say.
    """

    allowed: frozenset[int] = frozenset()
    required: frozenset[int] = frozenset()
    contents: tuple[CellContent, ...] = ()
    n_atoms: tuple[int, int] = (2, 20)
    charge_neutral: bool = False
    groups: frozenset[int] = frozenset()
    unlike_known: bool = False
    like: Crystal | None = None
    keep: frozenset[int] = frozenset()
    targets: tuple[Target, ...] = ()

    @property
    def of_electrode(self) -> bool:
        """Whether a target is a property of an electrode, which needs a working ion that can leave."""
        return any(target.property != "stability_discharge" for target in self.targets)


CONDITIONS = {
    "elements": "allowed", "required": "required", "contents": "contents", "sizes": "n_atoms",
    "charge_neutral": "charge_neutral", "groups": "groups", "like": "like",
}  # fmt: skip
"""What a generator may be asked for besides targets, by the name that is told; and the field of `Condition`."""


def refuse(name: str, condition: Condition, **cannot: str) -> None:
    """Raise where a condition asks for what a generator cannot do.

    Args:
        name: of the generator.
        condition: what is asked for.
        cannot: field of the condition -> who can, or what else to do; `Generator.cannot` where that is the same always.

    Raises:
        GenerationError: which field it is, and what to do.
    """
    for what, instead in cannot.items():
        if getattr(condition, what):
            raise GenerationError(f"{name} cannot choose {what}: {instead}")


def listed(sizes: Iterable[int]) -> str:
    """Numbers in words for a note, each once: ``7, 21, 35 and 49``, ``3 and 9 to 60``."""
    runs: list[list[int]] = []
    for size in sorted(set(sizes)):
        if runs and size == runs[-1][-1] + 1:
            runs[-1].append(size)
        else:
            runs.append([size])
    words = [word for run in runs for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


@dataclass(frozen=True)
class Relaxed:
    """A crystal relaxed within its symmetry, and its energy."""

    crystal: Crystal
    energy_eV_per_atom: float


class Relaxer(Protocol):
    """Relaxes symmetric crystals within their symmetry; None where that fails. Screening lends one to generators."""

    def __call__(self, forms: Sequence[SymmetricCrystal], on_step: OnStep | None = None) -> list[Relaxed | None]:
        """One answer a form, in order."""
        ...


class Generator(Protocol):
    """A source of crystals.

    Same `condition` and same state of `rng` give the same samples. `sample` returns exactly n crystals that satisfy the
    condition, or raises `data.errors.GenerationError` saying which part of the condition it cannot meet; where it found
    some, a `ShortfallError`, so that these are not lost. `labels` says in a word or two where sample i came from
    (prototype name, say), and is "" where there is nothing to say. `aims` are the properties of `TARGETS` that the
    generator can aim at whatever the working ion; `cannot` says of fields of a condition that it refuses who can. It
    may name in `models` (a tuple of words) the kinds of model that it is made of.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    aims: ClassVar[frozenset[str]]
    cannot: ClassVar[Mapping[str, str]]
    checkpoint_sha256: str | None

    def __init__(self, checkpoint: Path | None = None) -> None:
        """Made from a file of weights or templates; by default from those that ship."""

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels."""
        ...


@dataclass(frozen=True)
class Predicted:
    """A crystal with what its generator knows or foresees of it.

    Attributes:
        crystal: a sample, or one primitive cell of an answer to a formula.
        label: as of a sample.
        values: by name, units in the names: ``probability``, ``energy_eV_per_atom``, ``foreseen_average_voltage_V``.
    """

    crystal: Crystal
    label: str
    values: Mapping[str, float] = field(default_factory=dict)


class ShortfallError(GenerationError):
    """A generator found fewer samples within its tries than it was asked for, perhaps none; says why.

    Attributes:
        found: the samples that it did find; where contents were given, in their order.
    """

    def __init__(self, why: str, found: Sequence[Predicted]) -> None:
        super().__init__(why)
        self.found = tuple(found)


@runtime_checkable
class Foresees(Protocol):
    """A generator that tells what it foresees of its samples, where targets are aimed at."""

    def foreseen(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> list[Predicted]:
        """The samples of `Generator.sample`, with what is foreseen of them."""
        ...


@dataclass(frozen=True)
class Prediction:
    """Answers to a formula, the likeliest first, no two alike; and what a user should know of what was left out.

    Or samples, in the order in which they were drawn.
    """

    answers: tuple[Predicted, ...]
    notes: tuple[str, ...] = ()


def short_of(n: int, found: Sequence[Predicted], why: str) -> tuple[str, ...]:
    """The note for who asked for n and gets fewer; none for who gets all."""
    return (f"only {len(found)} of {n}: {why}",) if len(found) < n else ()


def as_many_as_found(
    generator: Generator, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
) -> Prediction:
    """N samples of a generator; fewer, perhaps none, with a note, where it falls short.

    Raises:
        GenerationError: it cannot do what was asked.
    """
    try:
        batch, labels = generator.sample(n, condition, rng, on_step)
    except ShortfallError as short:
        return Prediction(short.found, short_of(n, short.found, str(short)))
    return Prediction(tuple(map(Predicted, batch.to_crystals(), labels)))


BUDGET_s = 60.0
"""Processor time for relaxing the answers to a formula, where nothing else is said."""


@runtime_checkable
class PredictsFormula(Protocol):
    """A generator that ranks its answers to a formula across cell sizes."""

    def predict(
        self,
        n: int,
        formula: CellContent,
        condition: Condition,
        rng: np.random.Generator,
        budget_s: float,
        on_step: OnStep | None = None,
    ) -> Prediction:
        """At most n answers.

        Args:
            n: how many are wanted.
            formula: any multiple of the formula unit.
            condition: its `n_atoms` and `groups` hold.
            rng: the only source of randomness.
            budget_s: processor time that relaxing may take, by an estimate that is the same on every machine.
            on_step: progress.
        """
        ...


Likelihood = Literal["log_likelihood", "log_skeleton", "log_elements"]
"""What a generator tells the likelihood of, in nats; numbers of different kinds compare with nothing but their own.

`log_likelihood`: the density of the geometry given the elements, by atom, with respect to fractional coordinates and
log lattice parameters of the reduced cell. `log_skeleton`: space group, elements and the positions that they occupy, by
crystal. `log_elements`: the elements on the orbits of the given skeleton, by crystal.
"""


@runtime_checkable
class HasLikelihood(Protocol):
    """A generator that can say how likely it holds a crystal to be, and of which kind that is."""

    likelihood: ClassVar[Likelihood]

    def log_likelihood(self, crystals: Sequence[Crystal], rng: np.random.Generator) -> NDArray[np.float64]:
        """Lower bound for each crystal, of the kind of `likelihood` [n].

        NaN for a crystal with elements that the generator does not know, or without a symmetric form where it needs
        one. An estimate, right in the mean over many crystals.
        """
        ...


@runtime_checkable
class HasFamilies(Protocol):
    """A class of generators of which there is one for each of several families of models."""

    def of_family(self, family: str, checkpoint: Path | None) -> Generator:
        """The generator of a family, from a file of weights or those that ship.

        Raises:
            data.errors.InputError: no such family, no weights of it, or the file is of another.
        """
        ...


@runtime_checkable
class ChoosesBest(Protocol):
    """A generator that may draw several new crystals for each sample, and make the best of them.

    Attributes:
        choice: how many, and what is best; None chooses nothing.
    """

    choice: Choice | None


def make_generator(
    kind: type[Generator], checkpoint: Path | None = None, family: str | None = None, best_of: int = 1
) -> Generator:
    """A generator of a class, from a file of weights or those that ship.

    Raises:
        InputError: a family is named, and the generator has none; it cannot choose the best of several, and shall; or
            a file cannot be used.
    """
    if family is None:
        generator = kind(checkpoint)
    elif isinstance(kind, HasFamilies):
        generator = kind.of_family(family, checkpoint)
    else:
        raise InputError(f"{kind.name} has no families; leave family out")
    if best_of > 1:
        if not isinstance(generator, ChoosesBest):
            raise InputError(f"{kind.name} cannot choose the best of several; leave best_of out, or take `orbits`")
        generator.choice = Choice(best_of)
    return generator


def generator_class(name: str) -> type[Generator]:
    """The class of a registered generator.

    Raises:
        data.errors.UnknownKindError: no such generator.
    """
    kind: type[Generator] = load(GENERATORS, "generator", name)
    return kind
