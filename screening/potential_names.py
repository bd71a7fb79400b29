"""The registry of potentials, apart from their code so that naming one imports nothing heavy."""

from __future__ import annotations

from typing import Final

POTENTIALS: Final = {
    "chgnet": "screening.chgnet:Chgnet",
    "chgnet-r2scan": "screening.chgnet:ChgnetR2scan",
}
"""Name -> class. A potential is one file (imported only when asked for) and one line here."""
