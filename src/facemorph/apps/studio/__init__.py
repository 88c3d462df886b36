"""The landmark editor and its server."""
