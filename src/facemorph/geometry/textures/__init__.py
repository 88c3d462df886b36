"""Texture atlases, unprojection and completion."""
