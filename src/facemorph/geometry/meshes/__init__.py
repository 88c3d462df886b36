"""Mesh files, sampling and extraction."""
