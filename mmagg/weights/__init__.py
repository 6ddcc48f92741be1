"""Public checkpoints: which there are, how they are fetched, and what they are under our names."""
