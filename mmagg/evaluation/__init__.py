"""Scores of predictions against annotations: metrics, and a file for each analysis with its numbers and its chart."""
