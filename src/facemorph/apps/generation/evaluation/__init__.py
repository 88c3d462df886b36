"""Measuring a trained generator on people that it has not seen."""
