"""Morphable models and the families of files that they come from."""
