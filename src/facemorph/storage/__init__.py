"""Files, checkpoints, releases and the index of runs."""
