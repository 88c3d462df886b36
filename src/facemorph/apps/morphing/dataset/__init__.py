"""What ``facemorph morph-dataset`` keeps from one pair to the next."""
