"""A config of each family of detectors, and what it may cost when it is cut down."""

from typing import NamedTuple


class Family(NamedTuple):
    """A config, and (waits, launches) of a prediction with many candidates and of a training step."""

    config: str
    predict: tuple[int, int]
    train: tuple[int, int]


GRID = {
    'solo': Family('solo/solo_r50_fpn_1x_coco.py', (7, 427), (2, 831)),
    'decoupled-solo': Family('solo/decoupled-solo_r50_fpn_1x_coco.py', (7, 667), (2, 1199)),
    'solov2': Family('solov2/solov2_r50_fpn_1x_coco.py', (7, 495), (2, 932)),
    'aggmask-solo': Family('aggmask/aggmask-solo_r50_fpn_3x_coco.py', (7, 642), (2, 1315)),
    'aggmask-decoupled-solo': Family('aggmask/aggmask-decoupled-solo_r50_fpn_3x_coco.py', (7, 660), (2, 1689)),
    'aggmask-solov2': Family('aggmask/aggmask-solov2_r50_fpn_6x_coco.py', (7, 720), (2, 1430)),
}
A2FPN_NECK = 199  # launches of a prediction, at any width; two copy a level of odd size
BOXED = {
    'blendmask': Family('blendmask/blendmask_r50_fpn_1x_coco.py', (9, 589), (3, 1073)),
    'blendmask-rt': Family('blendmask/blendmask-rt_r50_fpn_4x_coco.py', (9, 494), (3, 947)),
    'meinst': Family('meinst/meinst_r50_fpn_1x_coco.py', (9, 622), (3, 1212)),
    'a2fpn': Family('a2fpn/solo_r50_a2fpn_3x_coco.py', (7, 662), (2, 2117)),
}
