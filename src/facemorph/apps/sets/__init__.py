"""Make and check training sets."""
