"""Layer 4: data modules, datasets and resumable sampling."""
