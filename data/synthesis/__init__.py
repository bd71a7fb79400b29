"""How a compound can be made by firing what can be bought: catalogue of powders, balanced reactions, routes."""
