"""Fit, render and animate heads of a morphable model."""
