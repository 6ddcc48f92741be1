"""Masks in the frames of boxes.

BlendMask and MEInst predict a vector at each location of a pyramid and differ in how it becomes a mask. So they share a
head, which finds the boxes and asks for the masks of those that matter.

Shape shorthand: B images, N boxes, P positive locations, D coefficients of a location, R mask size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor


class Regions(NamedTuple):
    """Boxes in the images of a batch: where masks are, of what class, and what they are made from."""

    rois: Tensor
    """(N, 5) image, x1, y1, x2, y2 in pixels of the network's input."""
    labels: Tensor
    """(N,) classes."""
    shared: Tensor | None
    """What the masks of the batch share, as `BoxedMasks.features` makes it."""


class Positives(NamedTuple):
    """Locations that learn a mask."""

    coefficients: Tensor | None
    """(P, D), None where D = 0."""
    gts: Tensor
    """(P,) long, which of the objects each is to find."""
    weights: Tensor
    """(P,) their centerness."""
    denominator: Tensor
    """Scalar: the sum of the weights, a mean over the processes."""


class BoxedMasks(BaseModule, ABC):
    """From coefficients to masks of R x R pixels in boxes.

    Attributes:
        mask_size: R.
    """

    mask_size: int

    @property
    @abstractmethod
    def num_coefficients(self) -> int:
        """D, the numbers that an instance brings; 0 for none."""

    def features(self, feats: Sequence[Tensor]) -> Tensor | None:
        """What all masks of a batch share, from what the neck returns, (B, C, h, w) per level; None for nothing."""
        return None

    @abstractmethod
    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        """The mask loss of a batch, weighted by the positives' centerness and averaged over it.

        Args:
            positives: P of them.
            objects: G annotated ones.
            targets: (G, R, R) uint8, their masks in their boxes.

        Returns:
            scalar; 0, with a gradient for every parameter, for P = 0.
        """

    @abstractmethod
    def decode(self, coefficients: Tensor | None, regions: Regions) -> Tensor:
        """Mask logits.

        Args:
            coefficients: (N, D), None where D = 0.
            regions: N of them.

        Returns:
            (N, R, R), float32.
        """
