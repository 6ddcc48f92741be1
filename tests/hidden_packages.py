"""The beginning of scripts in which neither PyTorch nor MMDetection can be imported."""

HIDE = """
import sys

HIDDEN = 'torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet'

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in HIDDEN:
            raise ImportError(f'{name} is hidden')

sys.meta_path.insert(0, Absent())
"""
