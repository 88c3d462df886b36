"""Commands that move photographs by a trained network."""
