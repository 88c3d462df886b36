"""GIF: Generative Interpretable Faces (3DV 2020)."""
