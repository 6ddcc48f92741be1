"""Binary masks as run lengths, and their outlines: NumPy, OpenCV and pycocotools; tensors are taken, never needed."""
