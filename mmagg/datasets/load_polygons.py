"""Instance masks as polygons, also those that the annotations hold as run-length codes."""

import cv2
import numpy as np
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from mmagg.ops.rle import decode_mask


@TRANSFORMS.register_module()
class LoadPolygonAnnotations(LoadAnnotations):
    """mmdet's `LoadAnnotations` with boxes, labels and polygons.

    mmdet drops run-length codes where polygons are wanted: crowds, which a semantic loss needs, and every object of
    data sets that have no polygons. Here their outlines are traced. Holes are filled, and half a pixel of the border
    is lost, as an outline goes through the centres of the pixels.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(with_bbox=True, with_mask=True, poly2mask=False, **kwargs)

    def _process_masks(self, results: dict) -> list:
        for instance in results.get('instances', []):
            if isinstance(instance['mask'], dict):
                instance['mask'] = outlines(instance['mask'])
        return super()._process_masks(results)


def outlines(rle: dict) -> list[list[float]]:
    """The outer borders of COCO's RLE, compressed or not: a list x0, y0, x1, y1, ... in pixels each."""
    found, _ = cv2.findContours(decode_mask(rle).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # The pixel (x, y) has its centre at x + 0.5 in COCO's polygons.
    return [(x.reshape(-1).astype(np.float64) + 0.5).tolist() for x in found]
