"""Experiments: composing, validating, run folders, stages and their timing."""
