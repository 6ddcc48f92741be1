"""What a model of MMDetection finds, in NumPy, and back."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mmagg.rle.arrays import as_array, is_tensor
from mmagg.rle.codes import masks_to_rle
from mmagg.runtime.found import Found

if TYPE_CHECKING:
    from mmengine.structures import InstanceData


def found_of(instances: 'InstanceData', size: tuple[int, ...]) -> Found:
    """N instances of an image in NumPy.

    Args:
        instances: labels (N,), scores (N,), bboxes (N, 4) and, if the model has them, masks, in any of the forms that
            masks have.
        size: (H, W) of the image.
    """
    masks, labels = instances.get('masks'), as_array(instances.labels)
    return Found(
        size=(int(size[0]), int(size[1])),
        boxes=_floats(instances.bboxes).reshape(-1, 4),
        scores=_floats(instances.scores),
        labels=labels,
        rles=(None,) * len(labels) if masks is None else tuple(masks_to_rle(masks)),
    )


def instances_of(found: Found) -> 'InstanceData':
    """The instances of an image as a sample of MMDetection has them, on the CPU: labels, scores, bboxes, and masks, a
    list of RLE, where the model has them; and `ori_shape`, (H, W).
    """
    import torch
    from mmengine.structures import InstanceData

    instances = InstanceData(
        metainfo={'ori_shape': found.size},
        labels=torch.from_numpy(found.labels),
        scores=torch.from_numpy(found.scores),
        bboxes=torch.from_numpy(found.boxes),
    )
    if None not in found.rles:
        instances.masks = list(found.rles)
    return instances


def _floats(values: Any) -> np.ndarray:
    return as_array(values.float() if is_tensor(values) else values).astype(np.float32)  # NumPy has no bfloat16
