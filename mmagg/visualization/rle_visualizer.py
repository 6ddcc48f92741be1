"""mmdet's visualizer for masks that are RLE and images of any number of channels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmagg.io.images import bgr_image
from mmagg.ops.rle import rle_to_masks


@VISUALIZERS.register_module()
class RLEVisualizer(DetLocalVisualizer):
    """A `DetLocalVisualizer` that also draws masks that are RLE, which it decodes for the instances that it draws.

    Grey images, and those with alpha or 16 bits, are drawn on as `bgr_image` converts them.
    """

    def add_datasample(self, name: str, image: np.ndarray, *args: Any, **kwargs: Any) -> None:
        """As that of `DetLocalVisualizer`."""
        if image.dtype in (np.uint8, np.uint16):
            image = bgr_image(image)
        super().add_datasample(name, image, *args, **kwargs)

    def _draw_instances(
        self, image: np.ndarray, instances: InstanceData, classes: Sequence[str] | None, palette: Sequence | None
    ) -> np.ndarray:
        if isinstance(instances.get('masks'), list):
            instances = InstanceData(**dict(instances.items()))
            instances.masks = rle_to_masks(instances.masks, *image.shape[:2])
        return super()._draw_instances(image, instances, classes, palette)
