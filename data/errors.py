"""The errors a user may meet. Each says what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RedoxaError(Exception):
    """Base of every error that Redoxa raises on purpose; the command prints it without a traceback."""

    exit_code = 1


class InputError(RedoxaError):
    """Something the user gave cannot be used (campaign file, structure file, option). Exit code 2."""

    exit_code = 2


class UnknownKindError(InputError):
    """A name that no registry knows; suggests the nearest one."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"'{name}' is not a {what}. {suggest(name, known)}")


class BrokenKindError(InputError):
    """A kind that a registry names and that cannot be imported, most likely of an installed package."""

    def __init__(self, what: str, name: str, target: str, error: Exception) -> None:
        super().__init__(f"{what} '{name}' ({target}) cannot be imported: {error}. `redoxa doctor` says whose it is.")


class ContractError(RedoxaError):
    """A generator, property, gate, driver or potential broke its contract (`redoxa.testing`)."""


class StructureError(InputError):
    """A structure that cannot be a crystal of ours (disorder, zero volume, too many atoms, unreadable file)."""


class GenerationError(RedoxaError):
    """A generator cannot satisfy the condition it was given."""


class PotentialError(RedoxaError):
    """An interatomic potential is missing, or gave no finite number."""


class StoreError(RedoxaError):
    """The store is locked by another run, full, damaged or gone."""


class LostStoreError(StoreError):
    """The database of the store went away, or asks for the transaction to be repeated; it may be back in a moment."""


class UnusableStoreError(StoreError, InputError):
    """What was named as the store is none, or one of another version. Exit code 2."""

    exit_code = 2


class TransitionError(RedoxaError):
    """A queue transition that the table of allowed transitions does not hold."""


class SafetyError(RedoxaError):
    """A request that a safety rule refuses."""


class RecipeError(RedoxaError):
    """No recipe can be planned for a material; the message says what stands in the way."""


class CanBeBoughtError(RecipeError):
    """Nothing has to be made: the compound is a powder that laboratories buy."""

    def __init__(self, target: str, name: str, cas: str) -> None:
        super().__init__(f"{target}: buy it ({name}, CAS {cas}) instead of making it; no route is planned.")


class NoPrecursorError(RecipeError):
    """No powder that can be bought, or is in stock, brings one or more elements into the target.

    Attributes:
        elements: the elements that lack one.
    """

    def __init__(self, target: str, elements: Iterable[str]) -> None:
        self.elements = tuple(sorted(elements))
        super().__init__(
            f"{target}: no powder that the laboratory has brings {', '.join(self.elements)} into this compound by "
            "firing. `redoxa lab check` shows its stock, data/synthesis/precursors.yaml what can be bought."
        )


class DriverError(RedoxaError):
    """A laboratory driver could not be reached or gave an answer that cannot be understood."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? Known: a, b, c`` for a mistyped name."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known: {', '.join(names)}"
