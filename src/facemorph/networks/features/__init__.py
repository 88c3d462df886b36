"""Frozen networks whose layers say what is in a picture, with weights that the user supplies."""
