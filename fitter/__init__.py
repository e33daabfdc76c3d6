"""The engine that turns photographs into 3D hands."""
