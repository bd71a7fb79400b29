"""A campaign: its file, its stages, and the loop that runs them."""
