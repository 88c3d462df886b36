"""Morphs, averages and the other picture tools."""
