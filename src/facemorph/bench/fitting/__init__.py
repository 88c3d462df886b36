"""Parts of ``facemorph bench fit``."""
