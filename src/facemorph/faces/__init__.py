"""Layer 2: faces in pictures: reading, detection, landmarks, alignment, masks, identity."""
