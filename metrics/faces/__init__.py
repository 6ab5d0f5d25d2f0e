"""Faces in clips: where they come from, and how they are cut out."""
