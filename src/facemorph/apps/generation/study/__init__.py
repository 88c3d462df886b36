"""Perceptual studies: pages that people answer, and what their answers say."""
