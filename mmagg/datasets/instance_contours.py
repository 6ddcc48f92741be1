"""Instance contours instead of instance masks (SOLO, Sec. 1): the outline of an object as a binary mask."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks


@TRANSFORMS.register_module()
class InstanceContours(BaseTransform):
    """Replaces each mask by its contour, after the image has its final size. Boxes and labels stay.

    The contour is the band of pixels inside the mask that are nearest to its border, which is also where the image
    ends. SOLO learns masks at strides from 4 for small objects to 16 for large ones, where a line of one pixel would be
    lost. So the band's width grows with the object.

    Args:
        least: smallest width of the band, in pixels.
        share: its width as a share of sqrt(w * h) of the mask's box. The default is a pixel of the masks of each level
            of SOLO's, at its lower end.

    Raises:
        TypeError: masks that are no bitmaps (`LoadAnnotations(with_mask=True)` loads these).
        ValueError: a width of less than a pixel, or a share that is negative.
    """

    def __init__(self, *, least: float = 4, share: float = 1 / 12) -> None:
        if least < 1 or share < 0:
            raise ValueError(f'least is {least} and share {share}; they must be at least 1 and at least 0')
        self.least, self.share = least, share

    def transform(self, results: dict) -> dict:
        """The results, with contours as ``gt_masks``."""
        masks = results['gt_masks']
        if not isinstance(masks, BitmapMasks):
            raise TypeError(f'InstanceContours takes BitmapMasks, not {type(masks).__name__}')
        contours = [contour(mask, least=self.least, share=self.share) for mask in masks.masks]
        return {**results, 'gt_masks': BitmapMasks(contours, masks.height, masks.width)}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(least={self.least}, share={self.share:.3g})'


def contour(mask: np.ndarray, *, least: float, share: float) -> np.ndarray:
    """(H, W) uint8 mask -> (H, W) uint8, its pixels that are within `max(least, share * sqrt(w * h))` of its border."""
    x, y, w, h = cv2.boundingRect(mask)
    width = max(least, share * (w * h) ** 0.5)
    inside = np.pad(mask[y : y + h, x : x + w], 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    result = np.zeros_like(mask)
    result[y : y + h, x : x + w] = (distance > 0) & (distance <= width)
    return result
