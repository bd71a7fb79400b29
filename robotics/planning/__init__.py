"""From a crystal to what people or robots do: recipe, firing, cells, cycling."""
