"""Crystals as orbits of Wyckoff positions: in one form each, and back."""
