"""Generate faces under the control of a 3-D model, and measure it."""
