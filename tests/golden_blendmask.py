"""The reference cases of BlendMask: tensors, polygons and packed bits."""

from pathlib import Path

import numpy as np
import torch
from mmdet.structures.mask import PolygonMasks
from torch import Tensor


def read_case(shared: Path, name: str) -> dict:
    return torch.load(shared / 'golden/blendmask' / f'{name}.pt', weights_only=True)


def bits(packed: Tensor, width: int) -> Tensor:
    """Binary maps packed along their last axis."""
    return torch.from_numpy(np.unpackbits(packed.numpy(), axis=-1)[..., :width])


def masks_of_images(case: dict, size: tuple[int, int]) -> list[PolygonMasks]:
    """Per image the polygons of its objects; an object may have several parts."""
    parts = case['poly_xy'].split(case['poly_len'].tolist())
    objects = [[] for _ in case['gt_img']]
    for part, gt in zip(parts, case['poly_gt'].tolist(), strict=True):
        objects[gt].append(part.numpy())
    return [
        PolygonMasks([objects[i] for i in (case['gt_img'] == image).nonzero().flatten().tolist()], *size)
        for image in range(number_of_images(case))
    ]


def number_of_images(case: dict) -> int:
    return len(case['bases'])


def per_image(case: dict, values: Tensor) -> list[Tensor]:
    """Values of the batch's objects, split by image."""
    return [values[case['gt_img'] == image] for image in range(number_of_images(case))]


def assert_relative(ours: Tensor, want: Tensor, tolerance: float) -> None:
    """The greatest difference, as a share of the greatest value."""
    assert ours.shape == want.shape
    difference = (ours - want).abs().max() / want.abs().max()
    assert difference <= tolerance, f'differs by {difference:.2e}'
