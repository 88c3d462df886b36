"""Parts that LightningModules are made with."""
