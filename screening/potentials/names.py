"""The registry of potentials, apart from their code so that naming one imports nothing heavy."""

from __future__ import annotations

from typing import Final

from redoxa.data.registry import registered

POTENTIALS: Final = registered(
    "potentials",
    {
        "chgnet": "redoxa.screening.potentials.chgnet:Chgnet",
        "chgnet-r2scan": "redoxa.screening.potentials.chgnet:ChgnetR2scan",
        "mace": "redoxa.screening.potentials.mace:Mace",
        "sevennet": "redoxa.screening.potentials.sevennet:SevenNet",
    },
)
"""Name -> class. A potential is one file (imported only when asked for) and one line here.

MACE and SevenNet are extras of their own (`pip install redoxa[mace]` or `redoxa[sevennet]`, never both).
"""
