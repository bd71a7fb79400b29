"""Elements exchanged in known crystals: `template` over `proposals`, `substitution` over `recipes` and `similarity`."""
