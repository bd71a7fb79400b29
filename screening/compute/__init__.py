"""Relaxations and single points, in worker processes."""
