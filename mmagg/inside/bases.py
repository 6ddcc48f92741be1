"""What the masks of detections are made of: bases and attention (BlendMask, Fig. 1 and 3).

Shape shorthand: N detections, K bases, M attention size, R mask size, (h, w) size of the bases.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.engine.stages import replaced
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks import BlendMaskMasks
from mmagg.models.postprocess import DetectedBoxes


class Decoding(NamedTuple):
    """What a head decoded the masks of an image from, and what it made of it."""

    features: Sequence[Tensor]
    """The features of the coefficients, (1, C, h, w) per level."""
    bases: Tensor | None
    """(B, K, h, w); None if there are no detections."""
    detections: DetectedBoxes
    """Of the image, before any is left out because its box is not inside the image."""
    image: int
    """Index of the image in the batch."""
    logits: Tensor
    """The masks of the detections, R x R each."""


class Ingredients(NamedTuple):
    """What the masks of N detections are made of, on the CPU."""

    bases: Tensor
    """(K, h, w) logits over the network's input, that of the padding included."""
    boxes: Tensor
    """(N, 4) x1, y1, x2, y2 in pixels of the network's input, as the bases are pooled in."""
    attention: Tensor | None
    """(N, K, M, M) weights of the bases in [0, 1]; None for the assembler."""
    pooled: Tensor
    """(N, K, R, R) bases in the boxes."""
    probs: Tensor
    """(N, R, R) the masks."""


@contextmanager
def recorded_decodings(head: BoxedMaskHead) -> Iterator[list[Decoding]]:
    """Collects what a head decodes while the block runs, one entry per image."""
    decodings, decode = [], head.decode

    def recording(features: Sequence[Tensor], shared: Tensor | None, detections: DetectedBoxes, image: int) -> Tensor:
        logits = decode(features, shared, detections, image)
        decodings.append(Decoding(features, shared, detections, image, logits))
        return logits

    with replaced(head, 'decode', recording):
        yield decodings


@torch.no_grad()
def ingredients(head: BoxedMaskHead, decoding: Decoding, instances: InstanceData) -> Ingredients:
    """What the masks of some instances were made of.

    Args:
        head: with `BlendedMasks`, in evaluation mode.
        decoding: what it decoded of the image.
        instances: at least one of those that it returned for the image.
    """
    detections = decoding.detections
    keys = zip(detections.places.tolist(), detections.labels.tolist(), strict=True)
    index = {key: i for i, key in enumerate(keys)}
    keys = zip(instances.places.tolist(), instances.labels.tolist(), strict=True)
    chosen = torch.tensor([index[key] for key in keys], device=detections.boxes.device)
    boxes = detections.boxes[chosen]
    rois = torch.cat([boxes.new_full((len(boxes), 1), decoding.image), boxes], dim=1)
    attention = None
    if head.coefficients is not None:
        attention = weights(head.masks, head.coefficients.at(decoding.features, detections.places[chosen])).cpu()
    return Ingredients(
        bases=decoding.bases[decoding.image].cpu(),
        boxes=boxes.cpu(),
        attention=attention,
        pooled=head.masks.pool(decoding.bases, rois).cpu(),
        probs=decoding.logits[chosen].sigmoid().cpu(),
    )


def weights(masks: BlendMaskMasks, coefficients: Tensor) -> Tensor:
    """The weights that attention gives to the bases, before they are resized: (N, K·M·M) -> (N, K, M, M) in [0, 1]."""
    attention = coefficients.float().unflatten(1, (-1, masks.attention_size, masks.attention_size))
    return attention.softmax(1) if masks.merger == 'blend' else attention.sigmoid()
