"""Interatomic potentials behind one interface."""
