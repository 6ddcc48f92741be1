"""mmagg: SOLO, AggMask, A²-FPN, BlendMask and MEInst for MMDetection 3.

Importing this package imports nothing else, so that `mmagg.ops` works where there are only PyTorch and NumPy, and
`mmagg.runtime` without PyTorch. Configs name `mmagg.register`, which adds every component to mmdet's registries.
"""

import os
from pathlib import Path

# A file of a few kilobytes may hold a gigapixel, which would fill the memory. OpenCV reads this as it is imported.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(2**28))

__version__ = '0.1.0'


def config(name: str) -> str:
    """The file of a config that this package brings, by its path below ``configs``.

    For configs of tools that know nothing of ``mmagg::``, because nothing imports mmagg before they read a config:
    ``_base_ = __import__('mmagg').config('solo/solo_r50_fpn_1x_coco.py')``.

    Raises:
        FileNotFoundError: there is no such config.
    """
    path = Path(__file__).with_name('.mim') / 'configs' / name
    if not path.is_file():
        raise FileNotFoundError(f'mmagg::{name}: mmagg has no such config')
    return str(path.resolve())  # in a clone, .mim is links
