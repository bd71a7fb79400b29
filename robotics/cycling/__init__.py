"""How a cell is cycled: cells and electrolytes, currents, voltage windows, the protocol."""
