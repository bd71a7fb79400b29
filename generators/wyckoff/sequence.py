"""The Wyckoff sequence model: crystals whose skeletons no template needs to have.

Crystals are drawn for a composition (`WyckoffModel.propose`: decorated skeletons, the likeliest first), or for a
chemistry, going on from given orbits, or from latent vectors (`WyckoffModel.crystals`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import GenerationError, StructureError
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.sequences import sequence_of
from redoxa.data.symmetry.skeletons import template_of
from redoxa.data.symmetry.symmetric import SymmetricCrystal, cell_parameters, cell_volumes_A3
from redoxa.generators.base import CellContent
from redoxa.generators.sanity import SanityLimits, is_sane
from redoxa.generators.wyckoff.checkpoint import load_sequence_network
from redoxa.generators.wyckoff.grammar import Draft, Wish
from redoxa.generators.wyckoff.network import SequenceNetwork
from redoxa.generators.wyckoff.sampler import Sampler, SampleRequest

BATCH = 128
"""Crystals that are drawn together, at most."""

SMALL = 32
"""And at least, where fewer are missing."""


@dataclass(frozen=True)
class DrawSettings:
    """How crystals are drawn.

    Attributes:
        temperature: of space group, elements and positions.
        spread: of cell and coordinates.
        geometries: cells and coordinates that a skeleton gets at most until one is sane.
        rounds: times that a sample is tried at most, with some skeletons each.
        limits: of contacts and packing.
    """

    temperature: float = 1.0
    spread: float = 0.7
    geometries: int = 3
    rounds: int = 30
    limits: SanityLimits = field(default_factory=SanityLimits)


@dataclass(frozen=True)
class Drawn:
    """A crystal that was drawn.

    Attributes:
        form: its symmetric form.
        crystal: the same in a primitive cell.
        log_probability: of space group, elements and positions among what the grammar left, in nats.
    """

    form: SymmetricCrystal
    crystal: Crystal
    log_probability: float


Accept = Callable[[Crystal], bool]
"""Whether a crystal may be returned."""

Refine = Callable[[Sequence[SymmetricCrystal]], Sequence[SymmetricCrystal]]
"""Gives crystals, in their order, a geometry that suits their elements better; all else of them stays."""


class WyckoffModel:
    """What draws from a sequence network; `sampler.known` are the elements that it knows.

    Args:
        network: trained.
        settings: how crystals are drawn.
        refine: what is made of a sane geometry, which is to be sane afterwards, too; by default it stays.
    """

    def __init__(self, network: SequenceNetwork, settings: DrawSettings | None = None, refine: Refine = list) -> None:
        self.sampler, self.refine = Sampler(network), refine
        self.settings = settings or DrawSettings()

    @classmethod
    def load(
        cls, checkpoint: Path | None = None, settings: DrawSettings | None = None, refine: Refine = list
    ) -> WyckoffModel:
        """A model from its file, by default the one that ships.

        Raises:
            InputError: the file is missing or is none of ours.
        """
        return cls(load_sequence_network(checkpoint or shipped("wyckoff.safetensors")), settings, refine)

    def prefix(self, form: SymmetricCrystal) -> Draft:
        """The orbits of a (partial) crystal, to be gone on from; its free numbers are drawn anew."""
        rows = sequence_of(form, self.sampler.table)
        return Draft(form.group, [position for position, _, _ in rows], [number for _, number, _ in rows])

    def propose(
        self, content: CellContent, draws: int, rng: np.random.Generator, groups: frozenset[int] = frozenset()
    ) -> list[Drawn]:
        """Distinct decorated skeletons for the content of a primitive cell, the likeliest first, with sane geometry.

        Args:
            content: atoms by atomic number.
            draws: how many are drawn; equal ones are returned once, those without a sane geometry not at all.
            rng: the only source of randomness.
            groups: space groups that may be drawn; empty for any.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        wish = Wish(self.sampler.known, content=content, groups=groups)
        request = self.request([wish] * draws)
        found: dict[str, Drawn] = {}
        drafts = [draft for draft in self.sampler.drafts(request, generator) if draft is not None]
        for drawn in self._sane(drafts, request.part(range(len(drafts))), generator, None):
            if drawn is not None:
                template = template_of(drawn.form)
                found.setdefault(repr(template.decorated([o.number for o in drawn.form.orbits])), drawn)
        return sorted(found.values(), key=lambda drawn: -drawn.log_probability)

    def crystals(
        self,
        wishes: Sequence[Wish],
        rng: np.random.Generator,
        *,
        latent: torch.Tensor | None = None,
        prefix: Draft | None = None,
        accept: Accept | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Drawn]:
        """One sane crystal for each wish; see `attempts`.

        Raises:
            GenerationError: a wish cannot be met, or too many draws were refused.
        """
        found = self.attempts(wishes, rng, latent=latent, prefix=prefix, accept=accept, on_done=on_done)
        complete = [one for one in found if one is not None]
        if len(complete) < len(found):
            raise GenerationError(self.shortage(len(found) - len(complete), len(found)))
        return complete

    def shortage(self, missing: int, n: int) -> str:
        """Why so many of n crystals are missing."""
        return (
            f"{missing} of {n} crystals had no sane geometry or were refused in {self.settings.rounds} rounds; allow "
            "more elements, other sizes or other groups"
        )

    def attempts(
        self,
        wishes: Sequence[Wish],
        rng: np.random.Generator,
        *,
        latent: torch.Tensor | None = None,
        prefix: Draft | None = None,
        accept: Accept | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Drawn | None]:
        """A sane crystal for each wish; None where all tries of it were refused.

        Args:
            wishes: what each must satisfy.
            rng: the only source of randomness.
            latent: vectors to write them from [B,L]; of further B rows, a crystal that was refused takes the next one.
            prefix: orbits that each begins with.
            accept: crystals for which it says no are drawn again.
            on_done: called with the number of crystals that are finished.

        Raises:
            GenerationError: a wish cannot be met.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        found: list[Drawn | None] = [None] * len(wishes)
        rounds = [0] * len(wishes)
        while pending := [i for i, drawn in enumerate(found) if drawn is None and rounds[i] < self.settings.rounds]:
            # What is hard to find is drawn several times a round: a small batch costs hardly less than a larger one.
            pending = pending[:BATCH] * max(1, SMALL // len(pending))
            rows = None if latent is None else latent[[(i + rounds[i] * len(wishes)) % len(latent) for i in pending]]
            request = self.request([wishes[i] for i in pending], rows, prefix)
            drafts = self.sampler.drafts(request, generator)
            if impossible := sum(draft is None for draft in drafts):
                raise GenerationError(f"{impossible} of {len(drafts)} wishes can be met in no space group asked for")
            kept = [
                k for k, draft in enumerate(drafts) if draft is not None and self._neutral(draft, request.wishes[k])
            ]
            drawn = self._sane([draft for k in kept if (draft := drafts[k])], request.part(kept), generator, accept)
            for k, one in zip(kept, drawn, strict=True):
                found[pending[k]] = found[pending[k]] or one
            for i in set(pending):
                rounds[i] += 1
            if on_done is not None:
                on_done(sum(one is not None for one in found))
        return found

    def _neutral(self, draft: Draft, wish: Wish) -> bool:
        if not wish.neutral:
            return True
        content: Counter[str] = Counter()
        for position, number in zip(draft.positions, draft.numbers, strict=True):
            content[chemical_symbols[number]] += int(self.sampler.table.atoms[position])
        return is_charge_balanced(content)

    def request(
        self, wishes: Sequence[Wish], latent: torch.Tensor | None = None, prefix: Draft | None = None
    ) -> SampleRequest:
        """What `sampler` is asked for, at the temperatures of the settings."""
        return SampleRequest(wishes, latent, prefix, self.settings.temperature, self.settings.spread)

    def _sane(
        self, drafts: Sequence[Draft], request: SampleRequest, generator: torch.Generator, accept: Accept | None
    ) -> list[Drawn | None]:
        """The first sane and accepted geometry of each draft; None where there is none."""
        found: list[Drawn | None] = [None] * len(drafts)
        pending = list(range(len(drafts)))
        for _ in range(self.settings.geometries):
            if not pending:
                break
            forms = self.sampler.forms([drafts[i] for i in pending], request.part(pending), generator)
            # Before it is refined: a skeleton that is written far off is a poor one, and refining would hide that.
            limits = self.settings.limits
            sane = [(i, f) for i, f in zip(pending, forms, strict=True) if sane_crystal(f, limits) is not None]
            for (i, _), form in zip(sane, self.refine([f for _, f in sane]), strict=True):
                crystal = sane_crystal(form, limits)
                if crystal is not None and (accept is None or accept(crystal)):
                    found[i] = Drawn(form, crystal, drafts[i].log_probability)
            pending = [i for i in pending if found[i] is None]
        return found


def sane_crystal(form: SymmetricCrystal, limits: SanityLimits) -> Crystal | None:
    """The crystal of a form, or None where sites coincide or contacts or packing lie outside the limits."""
    parameters = cell_parameters(form.group, np.array([*form.lengths_A, *form.angles_deg]))
    with np.errstate(invalid="ignore"):
        if not cell_volumes_A3(parameters) > 0.0:  # angles that no cell has give no number
            return None
    try:
        crystal = form.to_crystal()
    except StructureError:
        return None
    types = torch.tensor([crystal.numbers])
    coords, lattice = torch.tensor([crystal.frac_coords]), torch.tensor([crystal.lattice_A])
    return crystal if bool(is_sane(types, coords, lattice, limits)[0]) else None
