"""facemorph: face morphing and 3D-aware face generation."""
