"""Recordings of faces by other tools, as parameters of our heads."""
