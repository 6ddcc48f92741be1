"""Masks that exist only where somebody asks for them.

SOLO, Decoupled SOLO and SOLOv2 differ only in how the mask of one grid cell is obtained. So a mask branch does not
return S² maps per level, but one `LocalMasks` per level, which computes the maps of the cells asked for.

Shape shorthand: N instances, K cells asked for per instance, C channels, S grid side, (H, W) mask size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from mmagg.ops import resize_masks
from mmagg.ops.stage import stage


class LocalMasks(ABC):
    """The local masks of one pyramid level, indexed by image and grid cell.

    Attributes:
        size: (H, W) of the masks.
        stride: pixels of the network's input per mask pixel.
    """

    size: tuple[int, int]
    stride: int

    @abstractmethod
    def at(self, image: int, cells: Tensor) -> Tensor:
        """Mask logits of some cells of one image.

        Args:
            image: index of the image in the batch.
            cells: (N, K) long, row-major cell indices in [0, S²), on the CPU, where the head has them: what is asked
                for twice can then be found without waiting for the device.

        Returns:
            (N, K, H, W) logits.
        """

    def small_at(self, image: int, cells: Tensor) -> Tensor:
        """Mask logits as they are before their bilinear upsampling to `size` (align_corners=False), if there is one.

        Args:
            image: index of the image in the batch.
            cells: (N, K) long, on the CPU.

        Returns:
            (N, K, h, w) logits.
        """
        return self.at(image, cells)

    def probs_at(self, image: int, cells: Tensor, size: tuple[int, int]) -> Tensor:
        """Mask probabilities of some cells, resized (bilinear, after the sigmoid, as the authors test).

        Args:
            image: index of the image in the batch.
            cells: (N, K) long, on the CPU.
            size: (H', W') of the result.

        Returns:
            (N, K, H', W') in [0, 1].
        """
        probs = self.at(image, cells).sigmoid()
        return resize_masks(probs.flatten(0, 1), size=size).unflatten(0, cells.shape)


class Lazy:
    """A tensor that is computed when it is first read, and then kept."""

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute = compute

    @cached_property
    @stage('head')
    def value(self) -> Tensor:
        return self._compute()


def project(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution of one image's features with any number of rows.

    Args:
        features: (C, H, W).
        weight: (N, K, C), one row per map asked for.
        bias: (N, K) or None.

    Returns:
        (N, K, H, W).
    """
    n, k, c = weight.shape
    rows, pixels = weight.reshape(n * k, c), features.flatten(1)
    maps = rows @ pixels if bias is None else torch.addmm(bias.reshape(-1, 1), rows, pixels)
    return maps.view(n, k, *features.shape[1:])
