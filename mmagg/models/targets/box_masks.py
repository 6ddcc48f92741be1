"""Mask targets in the frames of the objects' boxes, as Mask R-CNN's, once for each object.

Shape shorthand: B images, G objects of the batch, R mask size.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor

from mmagg.ops import upload


def box_mask_targets(masks: Sequence[BitmapMasks | PolygonMasks], boxes: Sequence[Tensor], *, size: int) -> Tensor:
    """Masks cropped to the boxes and resized.

    Polygons are rasterised at this size; bitmaps are sampled (RoIAlign) and binarised.

    Args:
        masks: per image its G_i masks at the size of the network's input.
        boxes: per image (G_i, 4) x1, y1, x2, y2 in pixels.
        size: R.

    Returns:
        (G, R, R) uint8 on the device of the boxes, 1 inside.
    """
    device = boxes[0].device
    cropped = [torch.zeros(0, size, size, dtype=torch.uint8)]
    on_host = torch.cat(list(boxes)).cpu().split([len(x) for x in boxes])
    for image_masks, image_boxes in zip(masks, on_host, strict=True):
        if len(image_boxes):
            own = np.arange(len(image_boxes))
            small = image_masks.crop_and_resize(image_boxes.numpy(), (size, size), own, device='cpu')
            cropped.append(torch.from_numpy(small.to_ndarray()))
    return upload(torch.cat(cropped), device, dtype=torch.uint8)
