"""Commands that make photographs of heads follow others."""
