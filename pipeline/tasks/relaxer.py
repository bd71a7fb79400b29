"""Lends screening's relaxation within the symmetry to generators that rank their proposals by energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redoxa.data.progress import OnStep
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.generators.base import Generator, Relaxed


@dataclass(frozen=True)
class SymmetricRelaxer:
    """A `generators.base.Relaxer` on worker processes.

    Attributes:
        potential: by its name in `screening.potentials.names.POTENTIALS`.
        workers: processes; 0 means one for each core.
    """

    potential: str = "chgnet"
    workers: int = 0

    def __call__(self, forms: Sequence[SymmetricCrystal], on_step: OnStep | None = None) -> list[Relaxed | None]:
        """One answer a form, in order; None where the potential finds no crystal."""
        from redoxa.screening.workers.pool import relax_many

        answers: list[Relaxed | None] = [None] * len(forms)
        for done, (index, finished) in enumerate(relax_many(forms, None, self.potential, self.workers), 1):
            if (found := finished.relaxation) is not None:
                answers[index] = Relaxed(found.crystal, found.energy_eV_per_atom)
            if on_step is not None:
                on_step(done, len(forms))
        return answers


def lend(generator: Generator, relaxer: SymmetricRelaxer) -> None:
    """Give the relaxer to a generator that can use it."""
    if hasattr(generator, "relaxer"):
        generator.relaxer = relaxer
