"""The network that says which elements go on the orbits of a skeleton: `decorator` over an `orbit_graph`."""
