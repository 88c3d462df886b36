"""Compose configs, check what they may build, and build it."""
