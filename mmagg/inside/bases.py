"""The bases and the attention of detections, which BlendMask blends to their masks (BlendMask, Fig. 1 and 3).

Shape shorthand: N detections, K bases, M attention size, R mask size, (h, w) size of the bases.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks import BlendMaskMasks
from mmagg.models.postprocess import DetectedBoxes


class Ingredients(NamedTuple):
    """Bases, attention and masks of N detections, on the CPU."""

    bases: Tensor
    """(K, h, w) logits over the network's input with its padding."""
    boxes: Tensor
    """(N, 4) x1, y1, x2, y2 in pixels of the network's input; bases are pooled in these boxes."""
    attention: Tensor | None
    """(N, K, M, M) weights of the bases in [0, 1]; None for a merger without attention ('assemble')."""
    pooled: Tensor
    """(N, K, R, R) bases in the boxes."""
    probs: Tensor
    """(N, R, R) the masks."""


@torch.no_grad()
def ingredients(
    head: BoxedMaskHead,
    feats: Sequence[Tensor],
    instances: InstanceData,
    *,
    image: int,
    img_shape: tuple[int, int],
) -> Ingredients:
    """Bases, attention and masks of some instances.

    Args:
        head: with `BlendMaskMasks`, in evaluation mode.
        feats: what the neck returned for the batch.
        instances: at least one of those that the head then predicted in the image.
        image: index of the image in the batch.
        img_shape: (height, width) of the image in the network's input, without the padding.
    """
    assert isinstance(head.masks, BlendMaskMasks)  # with which alone there are bases
    maps, features, bases = head(feats)
    features = [x[image : image + 1] for x in features]
    # All detections, also those that are no instances because their box is not inside the image.
    detections = head.detect(maps, image, img_shape)
    logits = head.decode(features, bases, detections, image)
    index = {key: i for i, key in enumerate(_keys(detections))}
    chosen = torch.tensor([index[key] for key in _keys(instances)], device=logits.device)
    boxes = detections.boxes[chosen]
    rois = torch.cat([boxes.new_full((len(boxes), 1), image), boxes], dim=1)
    attention = None
    if head.coefficients is not None:
        attention = weights(head.masks, head.coefficients.at(features, detections.places[chosen])).cpu()
    return Ingredients(
        bases=bases[image].cpu(),
        boxes=boxes.cpu(),
        attention=attention,
        pooled=head.masks.pool(bases, rois).cpu(),
        probs=logits[chosen].sigmoid().cpu(),
    )


def _keys(found: DetectedBoxes | InstanceData) -> Iterator[tuple[int, int]]:
    """Location and class of each detection; no two detections share both."""
    return zip(found.places.tolist(), found.labels.tolist(), strict=True)


def weights(masks: BlendMaskMasks, coefficients: Tensor) -> Tensor:
    """The weights that attention gives to the bases, before they are resized: (N, K·M·M) -> (N, K, M, M) in [0, 1]."""
    attention = coefficients.float().unflatten(1, (-1, masks.attention_size, masks.attention_size))
    return attention.softmax(1) if masks.merger == 'blend' else attention.sigmoid()
