"""Networks that start a fit: what they are, how they are trained, the weights that ship."""
