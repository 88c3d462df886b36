"""What the views of the studio ask for: one module for each."""
