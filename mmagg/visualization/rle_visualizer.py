"""mmdet's visualizer for masks that are RLE."""

from collections.abc import Sequence

import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmagg.ops.rle import rle_to_masks


@VISUALIZERS.register_module()
class RLEVisualizer(DetLocalVisualizer):
    """A `DetLocalVisualizer` that also draws masks that are RLE, which it decodes for the instances that it draws."""

    def _draw_instances(
        self, image: np.ndarray, instances: InstanceData, classes: Sequence[str] | None, palette: Sequence | None
    ) -> np.ndarray:
        if isinstance(instances.get('masks'), list):
            instances = InstanceData(**dict(instances.items()))
            instances.masks = rle_to_masks(instances.masks, *image.shape[:2])
        return super()._draw_instances(image, instances, classes, palette)
