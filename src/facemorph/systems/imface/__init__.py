"""ImFace (CVPR 2022) and ImFace++ (TPAMI 2024): implicit 3-D morphable models."""
