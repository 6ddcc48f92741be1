"""Data: synthetic scenes, folders in COCO format, and the check before training."""
