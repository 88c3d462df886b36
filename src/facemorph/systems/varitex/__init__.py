"""VariTex: Variational Neural Face Textures (ICCV 2021)."""
