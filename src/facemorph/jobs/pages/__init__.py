"""HTML pages and plots beside results."""
