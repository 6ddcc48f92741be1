"""The interface of masks in the frames of boxes.

BlendMask and MEInst predict a vector of coefficients at each location of a pyramid, and differ in how it becomes a
mask. `BoxedMaskHead` detects the boxes, and asks for the masks of positives and of detections only.

Shape shorthand: B images, N boxes, P positive locations, D coefficients of a location, R mask size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from torch import Tensor

from mmagg.models.targets import box_mask_targets


class Regions(NamedTuple):
    """Boxes in the images of a batch, with what their masks are decoded from beside the coefficients."""

    rois: Tensor
    """(N, 5) image, x1, y1, x2, y2 in pixels of the network's input."""
    labels: Tensor
    """(N,) classes."""
    shared: Any
    """The result of `BoxedMasks.features`: maps (B, C, h, w), or None."""


class Positives(NamedTuple):
    """The locations in the mask loss."""

    coefficients: Any
    """(P, D) tensor, None where D = 0."""
    gts: Tensor
    """(P,) long, the object of each."""
    weights: Tensor
    """(P,) their centerness."""
    denominator: Tensor
    """Scalar: the sum of the weights, averaged over the processes."""


class BoxedMasks(BaseModule, ABC):
    """Decodes coefficients into masks of R x R pixels in the frames of boxes.

    Attributes:
        mask_size: R.
    """

    mask_size: int

    @property
    @abstractmethod
    def num_coefficients(self) -> int:
        """D, the coefficients of an instance; 0 for none."""

    def features(self, feats: Sequence[Tensor]) -> Tensor | None:
        """The maps that all masks of a batch share, from the neck's levels (B, C, h, w); None for none."""
        return None

    def targets(self, samples: Sequence[DetDataSample]) -> Tensor:
        """What `loss` compares the masks of a batch with: (G, R, R) uint8, the annotated masks in their boxes."""
        objects = [sample.gt_instances for sample in samples]
        return box_mask_targets([x.masks for x in objects], [x.bboxes for x in objects], size=self.mask_size)

    @abstractmethod
    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        """The mask loss of a batch, averaged with the positives' centerness as weights.

        Args:
            positives: P locations.
            objects: G annotated objects.
            targets: the result of `targets`, one entry an object.

        Returns:
            scalar; 0, with a gradient for every parameter, for P = 0.
        """

    @abstractmethod
    def decode(self, coefficients: Any, regions: Regions) -> Tensor:
        """Mask logits.

        Args:
            coefficients: (N, D) tensor, None where D = 0.
            regions: N of them.

        Returns:
            (N, R, R), float32.
        """
