"""What the entry points share: launching Hydra jobs, exit codes, threads."""
