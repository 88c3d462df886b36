"""Layer 3: losses, one equation one function."""
