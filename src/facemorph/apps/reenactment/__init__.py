"""Reenactment: photographs that follow a video, a recording or edits by name."""
