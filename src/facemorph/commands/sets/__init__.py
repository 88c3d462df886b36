"""Commands that make training sets."""
