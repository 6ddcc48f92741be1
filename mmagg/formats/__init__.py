"""How other tools write images with instances, and back."""
