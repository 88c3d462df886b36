"""GDPW: Geometry Driven Progressive Warping (BMVC 2022)."""
