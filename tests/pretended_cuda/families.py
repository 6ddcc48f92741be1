"""A config of each family of detectors, and what it may cost when it is cut down."""

from typing import NamedTuple


class Family(NamedTuple):
    """A config, and (waits, launches) of a prediction with many candidates and of a training step."""

    config: str
    predict: tuple[int, int]
    train: tuple[int, int]


GRID = {
    'solo': Family('solo/solo_r50_fpn_1x_coco.py', (7, 427), (2, 810)),
    'decoupled-solo': Family('solo/decoupled-solo_r50_fpn_1x_coco.py', (7, 667), (2, 1156)),
    'solov2': Family('solov2/solov2_r50_fpn_1x_coco.py', (7, 484), (2, 866)),
    'aggmask-solo': Family('aggmask/aggmask-solo_r50_fpn_3x_coco.py', (7, 527), (2, 1149)),
    'aggmask-decoupled-solo': Family('aggmask/aggmask-decoupled-solo_r50_fpn_3x_coco.py', (7, 575), (2, 1501)),
    'aggmask-solov2': Family('aggmask/aggmask-solov2_r50_fpn_6x_coco.py', (7, 596), (2, 1237)),
}
BOXED = {
    'blendmask': Family('blendmask/blendmask_r50_fpn_1x_coco.py', (9, 574), (3, 1058)),
    'blendmask-rt': Family('blendmask/blendmask-rt_r50_fpn_4x_coco.py', (9, 485), (3, 938)),
    'meinst': Family('meinst/meinst_r50_fpn_1x_coco.py', (9, 607), (3, 1197)),
    'a2fpn': Family('a2fpn/solo_r50_a2fpn_3x_coco.py', (7, 911), (2, 2096)),
}
