"""The beginning of scripts in which some packages cannot be imported."""


def hiding(*names: str) -> str:
    """Python that hides packages; it leaves their names as `HIDDEN`."""
    return f"""
import sys

HIDDEN = {names}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in HIDDEN:
            raise ModuleNotFoundError(f'{{name}} is hidden', name=name)

sys.meta_path.insert(0, Absent())
"""


MMDETECTION = 'mmcv', 'mmengine', 'mmdet'
HIDE = hiding('torch', 'torchvision', *MMDETECTION)
