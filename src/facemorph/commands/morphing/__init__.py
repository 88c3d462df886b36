"""Commands that morph and edit pictures."""
