"""What can go wrong in the laboratory interface, beside the shared errors of `data.errors`."""

from __future__ import annotations

from collections.abc import Iterable

from data.errors import RedoxaError, TransitionError

CHANGED = "is not what was proposed: it was changed in the store. Cancel it, and look who has access"
"""Said of a request whose content no longer has the hash with which it was proposed."""


class RecipeError(RedoxaError):
    """No recipe can be planned for a material; the message says what stands in the way."""


class NoPrecursorError(RecipeError):
    """The catalogue holds no precursor that can bring one or more elements into the target.

    Attributes:
        elements: the elements that lack one.
    """

    def __init__(self, target: str, elements: Iterable[str]) -> None:
        self.elements = tuple(sorted(elements))
        super().__init__(
            f"{target}: no precursor in the catalogue brings {', '.join(self.elements)} into this compound by firing. "
            "Add one to robotics/precursors.yaml, or make the material by another route."
        )


class ConflictError(TransitionError):
    """The same key came with another content: neither replaces the other."""


class LeaseError(TransitionError):
    """A worker acted on a request whose lease it does not hold (any more)."""
