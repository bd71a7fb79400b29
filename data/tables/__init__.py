"""Tables that ship, and tables of crystals: known materials, reference energies, templates, labels, datasets."""
