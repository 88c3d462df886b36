"""Layer 1: stateless tensor functions."""
