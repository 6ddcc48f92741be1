"""mmagg: SOLO, AggMask, A²-FPN, BlendMask and MEInst for MMDetection 3.

Importing this package imports nothing else, so that `mmagg.ops` works where there is only PyTorch. Configs name
`mmagg.register`, which adds every component to mmdet's registries.
"""

import os

# A file of a few kilobytes may hold a gigapixel, which would fill the memory. OpenCV reads this as it is imported.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**28))

__version__ = '0.1.0'
