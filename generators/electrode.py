"""What an electrode asks of a sample: one working ion, and elements that can pay for its leaving. Light: no torch."""

from __future__ import annotations

from ase.data import atomic_numbers

from redoxa.data.chemistry import removable_ions
from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal
from redoxa.data.units import ION_VALENCE
from redoxa.generators.base import Condition

IONS = frozenset(atomic_numbers[symbol] for symbol in ION_VALENCE)


def working_ion(condition: Condition) -> str:
    """The working ion that a condition requires.

    Raises:
        GenerationError: none, or more than one.
    """
    found = [symbol for symbol in ION_VALENCE if atomic_numbers[symbol] in condition.required]
    if len(found) != 1:
        raise GenerationError(f"targets are of an electrode: require one working ion of {', '.join(ION_VALENCE)}")
    return found[0]


def gives_ions(crystal: Crystal, condition: Condition) -> bool:
    """Whether some ions can leave a sample; true where no property of an electrode is aimed at."""
    return not condition.of_electrode or removable_ions(crystal.composition, working_ion(condition)) > 0.0
