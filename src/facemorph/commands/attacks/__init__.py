"""Commands on morphing attacks."""
