"""Laboratories: a simulated one, and one of people who exchange files."""
