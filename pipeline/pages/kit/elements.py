"""Colours of the elements in the structure pictures."""

from __future__ import annotations

from typing import Final

COLOURS: Final[dict[str, str]] = {
    # Working ions: fresh, apart from every framework colour.
    "Li": "#35b27d", "Na": "#e5a50a", "K": "#8d5bd6", "Mg": "#19a7a0", "Ca": "#3f9fd0", "Zn": "#6f7f96",
    "Al": "#93a9c4",
    # Anions and nonmetals.
    "O": "#e2564f", "F": "#8fc94a", "S": "#e4c62f", "Cl": "#4fb84f", "Br": "#a5452f", "I": "#7b3fa8",
    "N": "#4a6ee0", "Se": "#c98a1c", "Te": "#a9793a", "H": "#d9dde2", "C": "#555c66", "P": "#9a7ad6",
    "Si": "#c9a36a", "B": "#ef9aa6", "As": "#8a6fb0", "Ge": "#8aa38f",
    # Redox metals and others of the framework.
    "Ti": "#6fa8dc", "V": "#d8743c", "Cr": "#3f78b5", "Mn": "#a652a8", "Fe": "#b9702f", "Co": "#3a63cf",
    "Ni": "#4e9c86", "Cu": "#c7793a", "Nb": "#4bb0ae", "Mo": "#5d9196", "W": "#5b7fb8", "Zr": "#74bcc0",
    "Sn": "#8c99a6", "Sb": "#8b62b0", "Bi": "#9b5bb0", "Ag": "#aab2bd", "Ta": "#5f93c9", "Y": "#82cdd0",
    "La": "#79c4e0", "Ce": "#e0cf8a", "Re": "#4f7f9f",
}  # fmt: skip
"""The elements that electrodes are usually made of; others take ASE's colours."""


def colour(symbol: str) -> str:
    """Colour of an element as ``#rrggbb``."""
    if symbol in COLOURS:
        return COLOURS[symbol]
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors

    red, green, blue = (round(255 * float(x)) for x in jmol_colors[atomic_numbers[symbol]])
    return f"#{red:02x}{green:02x}{blue:02x}"


def mix(first: str, second: str, share: float) -> str:
    """A colour `share` of the way from one to another, all as ``#rrggbb``."""
    pairs = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)
