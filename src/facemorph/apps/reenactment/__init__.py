"""Change the face of a photograph: edits in words, and other people's performances."""
