"""Cameras, rasterisers, light and the pictures that they make."""
