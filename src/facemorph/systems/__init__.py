"""Layer 4: one LightningModule a file."""
