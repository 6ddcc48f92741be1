"""The interface of masks of grid cells, which are computed only where they are asked for.

SOLO, Decoupled SOLO and SOLOv2 differ only in how the mask of one grid cell is obtained. A mask branch does not return
S² maps per level, but one `LocalMasks`, which computes the maps of the cells asked for.

Shape shorthand: B images, N cells asked for, C and D channels, S grid side, (H, W) mask size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from mmagg.ops import resize_masks, upload
from mmagg.ops.stage import stage


class LocalMasks(ABC):
    """The local masks of one pyramid level, indexed by image and grid cell.

    Attributes:
        size: (H, W) of the masks.
        stride: pixels of the network's input per mask pixel.
        mask_features: (B, D, H, W), which the cells' kernels are convolved with (SOLOv2), else None.
        kernel_features: lazy (B, C, S, S), from which the cells' kernels are predicted (SOLOv2), else None.
    """

    size: tuple[int, int]
    stride: int
    mask_features: Tensor | None = None
    kernel_features: 'Lazy | None' = None

    @abstractmethod
    def at(self, image: int, cells: Tensor) -> Tensor:
        """Mask logits of some cells of one image.

        Args:
            image: index of the image in the batch.
            cells: (N,) long, row-major cell indices in [0, S²), on the CPU: repeated ones are found without waiting for
                the GPU.

        Returns:
            (N, H, W) logits.
        """

    def small_at(self, image: int, cells: Tensor) -> Tensor:
        """(N, h, w) logits before the bilinear upsampling (align_corners=False) to `size`, if any; see `at`."""
        return self.at(image, cells)

    def probs_at(self, image: int, cells: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, H', W') probabilities, resized bilinearly after the sigmoid, as in SOLO's release; see `at`."""
        return resize_masks(self.at(image, cells).sigmoid(), size=size)


class Lazy:
    """A tensor that is computed when it is first read."""

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute = compute

    @cached_property
    @stage('head')
    def value(self) -> Tensor:
        return self._compute()

    @cached_property
    def images(self) -> tuple[Tensor, ...]:
        """The value's images; their gradients are put together once, instead of added up in full for each use."""
        return self.value.unbind()


def weight_for_windows(conv: nn.Conv2d) -> Lazy:
    """The weight of a convolution as `conv_at` multiplies it, once for all levels."""
    return Lazy(partial(conv.weight.contiguous, memory_format=torch.channels_last))


def some_outputs(conv: nn.Conv2d, index: Tensor) -> tuple[Tensor, Tensor | None]:
    """Weight (N, C, k, k) and bias (N,) of some output channels (N,) of a convolution."""
    index = upload(index, conv.weight.device)
    return conv.weight[index], None if conv.bias is None else conv.bias[index]


def project(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution: (C, H, W) features, (N, C) weights and (N,) biases -> (N, H, W)."""
    pixels = features.flatten(1)
    maps = weight @ pixels if bias is None else torch.addmm(bias[:, None], weight, pixels)
    return maps.unflatten(1, features.shape[1:])
