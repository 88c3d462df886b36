"""Layer 5: what a user asks for, as functions."""
