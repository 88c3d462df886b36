"""Layer 6: speed and quality tables."""
