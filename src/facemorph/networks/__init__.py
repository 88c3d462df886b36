"""Image networks: frozen feature networks that measure pictures."""
