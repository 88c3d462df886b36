"""Heads turned to one pose before they are morphed."""
