"""The neighbours of pixels, against mmdet's unfolding and against counting."""

import torch
from mmdet.models.utils import unfold_wo_center

from mmagg.ops.pixel_pairs import STEPS, at_neighbour


def test_steps_and_their_opposites_are_mmdet_s_neighbours() -> None:
    maps = torch.randn(2, 1, 7, 9)
    theirs = unfold_wo_center(maps, kernel_size=3, dilation=2)[:, 0]  # (2, 8, 7, 9)
    eight = sorted(STEPS + tuple((-rows, -columns) for rows, columns in STEPS))
    assert torch.equal(torch.cat([at_neighbour(maps, step) for step in eight], dim=1), theirs)


def test_beyond_the_border_is_what_was_asked_for() -> None:
    maps = torch.arange(12.0).reshape(3, 4)
    assert at_neighbour(maps, (2, -2), outside=-1).tolist() == [[-1, -1, 8, 9], [-1] * 4, [-1] * 4]
    assert at_neighbour(maps > 4, (0, 2)).tolist() == [
        [False] * 4,
        [True, True, False, False],
        [True, True, False, False],
    ]
