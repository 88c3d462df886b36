"""Edits of a head in words: what can be said, what it sets, a tour, a prompt."""
