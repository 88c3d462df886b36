"""Figures and videos of a trained generator."""
