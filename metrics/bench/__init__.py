"""Harmony-Bench: cases, variants, scoring, results and the report page."""
