"""Evaluation of morphing attacks."""
