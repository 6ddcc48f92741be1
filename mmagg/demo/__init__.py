"""A demo of everything on generated scenes, from data to a report."""
