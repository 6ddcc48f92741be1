"""Exported models without PyTorch and MMDetection: NumPy, OpenCV, pycocotools, and ONNX Runtime or OpenVINO."""
