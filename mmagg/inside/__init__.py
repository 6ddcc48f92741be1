"""Looking into a model and its data: representations, bases, heat maps, the data pipeline."""
