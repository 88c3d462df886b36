"""Layer 4: callbacks and the run card."""
