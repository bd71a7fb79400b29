"""`orbits` learns from its own crystals that screen well."""
