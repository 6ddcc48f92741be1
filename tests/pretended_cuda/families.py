"""A config of each family of detectors, and what it may cost when it is cut down."""

from typing import NamedTuple


class Family(NamedTuple):
    """A config, and (waits, launches) of a prediction with many candidates and of a training step."""

    config: str
    predict: tuple[int, int]
    train: tuple[int, int]


GRID = {
    'solo': Family('solo/solo_r50_fpn_1x_coco.py', (7, 337), (2, 803)),
    'decoupled-solo': Family('solo/decoupled-solo_r50_fpn_1x_coco.py', (7, 439), (2, 1138)),
    'solov2': Family('solov2/solov2_r50_fpn_1x_coco.py', (7, 388), (2, 854)),
    'aggmask-solo': Family('aggmask/aggmask-solo_r50_fpn_3x_coco.py', (7, 431), (2, 1140)),
    'sodar-solo': Family('sodar/sodar-solo_r50_fpn_3x_coco.py', (8, 449), (3, 1337)),
    'aggmask-decoupled-solo': Family('aggmask/aggmask-decoupled-solo_r50_fpn_3x_coco.py', (7, 473), (2, 1483)),
    'aggmask-solov2': Family('aggmask/aggmask-solov2_r50_fpn_6x_coco.py', (7, 485), (2, 1216)),
}
A2FPN_NECK = 199  # launches of a prediction, at any width; two copy a level of odd size
BOXED = {
    'blendmask': Family('blendmask/blendmask_r50_fpn_1x_coco.py', (9, 377), (3, 991)),
    'blendmask-rt': Family('blendmask/blendmask-rt_r50_fpn_4x_coco.py', (9, 320), (3, 897)),
    'meinst': Family('meinst/meinst_r50_fpn_1x_coco.py', (9, 410), (3, 1130)),
    'a2fpn': Family('a2fpn/solo_r50_a2fpn_3x_coco.py', (7, 563), (2, 2059)),
}
