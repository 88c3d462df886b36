"""Fitting morphable models to landmarks, pictures and scans."""
