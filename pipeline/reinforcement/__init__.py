"""Generators learn by policy gradients from what the screening of a campaign says: rounds, rewards, files."""
