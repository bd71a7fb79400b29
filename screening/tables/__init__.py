"""Builds the tables that the screening looks things up in."""
