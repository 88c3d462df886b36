"""ifmorph: Neural Implicit Morphing of Face Images (CVPR 2024), and its successor FLOWING."""
