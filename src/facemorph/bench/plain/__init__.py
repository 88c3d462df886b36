"""Plain twins that the fast paths are measured against."""
