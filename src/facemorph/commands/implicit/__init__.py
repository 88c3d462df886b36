"""Commands on implicit 3-D faces."""
