"""Export: a trained detector as one file of standard operators, which runs without PyTorch and MMDetection."""
