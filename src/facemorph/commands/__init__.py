"""Layer 6: one file per command of the command line."""
