"""Commands on heads of a morphable model."""
