"""Commands on generated faces."""
