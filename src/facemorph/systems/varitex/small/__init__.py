"""VariTex of the size that one core can train."""
