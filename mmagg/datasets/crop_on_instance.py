"""Random crops that keep the centre of an instance (the release's dcni3 model of BlendMask)."""

from typing import Any

import numpy as np
from mmdet.datasets.transforms import RandomCrop
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCropOnInstance(RandomCrop):
    """mmdet's `RandomCrop` with the centre of one of the boxes in the crop, and boxes around the cropped masks.

    The box is a random one, crowds included; then all places of the crop that have its centre in them are equally
    likely. An image without boxes is cropped anywhere. A box becomes that of what the crop leaves of its mask: an empty
    one where nothing is left, which `FilterAnnotations` takes away.

    Args:
        **kwargs: see mmdet's `RandomCrop`; a crop without boxes is kept.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_negative_crop=True, recompute_bbox=True, **kwargs)

    def _crop_data(self, results: dict, crop_size: tuple[int, int], allow_negative_crop: bool) -> dict | None:
        height, width = results['img'].shape[:2]
        boxes = results['gt_bboxes'].tensor.numpy().clip(0, (width, height, width, height))
        self._centre = boxes[np.random.randint(len(boxes))].reshape(2, 2).mean(0) if len(boxes) else None
        self._crop_size = crop_size
        return super()._crop_data(results, crop_size, allow_negative_crop)

    def _rand_offset(self, margin: tuple[int, int]) -> tuple[int, int]:
        """Where the crop begins, (y, x), at most ``margin``."""
        if self._centre is None:
            return super()._rand_offset(margin)
        centre = self._centre[::-1]
        first = np.maximum(np.floor(centre).astype(int) - self._crop_size, 0)
        last = np.minimum(np.ceil(centre).astype(int), margin)
        y, x = np.random.randint(first, last + 1)
        return int(y), int(x)
