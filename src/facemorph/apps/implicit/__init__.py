"""Work with implicit 3-D faces."""
