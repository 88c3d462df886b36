"""Layer 3: metrics that torchmetrics does not have."""
