"""What can go wrong in the laboratory interface, beside the shared errors of `data.errors`."""

from __future__ import annotations

from redoxa.data.errors import TransitionError

CHANGED = "is not what was proposed: it was changed in the store. Cancel it, and look who has access"
"""Said of a request whose content no longer has the hash with which it was proposed."""


class ConflictError(TransitionError):
    """The same key came with another content: neither replaces the other."""


class LeaseError(TransitionError):
    """A worker acted on a request whose lease it does not hold (any more)."""
