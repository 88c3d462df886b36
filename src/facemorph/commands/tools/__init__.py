"""Commands that train, run, export and look after the installation."""
