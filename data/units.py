"""Constants and conversions. Names carry the unit; values are CODATA 2018 (exact SI where exact)."""

from __future__ import annotations

FARADAY_C_PER_MOL = 96485.33212
"""Charge of a mole of electrons."""

FARADAY_MAH_PER_MOL = FARADAY_C_PER_MOL / 3.6
"""The same in mAh: 26801.48 mAh/mol."""

AVOGADRO_PER_MOL = 6.02214076e23

GPA_PER_EV_PER_A3 = 160.21766208
"""1 eV/Angstrom^3 in GPa."""

G_PER_CM3_PER_AMU_PER_A3 = 1e24 / AVOGADRO_PER_MOL
"""1 amu/Angstrom^3 in g/cm3."""

ION_VALENCE = {"Li": 1, "Na": 1, "K": 1, "Mg": 2, "Ca": 2, "Zn": 2, "Al": 3}
"""Charge number z of each working ion; its keys are the working ions Redoxa knows."""
