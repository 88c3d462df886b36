"""Layer 2: faces in 3-D. Morphable models, cameras, rasterisers, textures, light and meshes."""
