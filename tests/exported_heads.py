"""The smallest detectors, around heads of tests: a pyramid of averages, and a head."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from grid_heads import CHANNELS
from torch import Tensor, nn


class TinyDetector(nn.Module):
    """Averages of a convolution at some strides, and a head.

    Args:
        head: of `grid_heads`, `boxed_heads` or `coded_heads`.
        strides: of the levels.
        neck: a module from levels to levels; None for none.
    """

    def __init__(self, head: nn.Module, strides: tuple[int, ...], neck: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.mask_head, self.strides, self.neck = head, strides, neck

    def extract_feat(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> (B, C, h, w) per level."""
        maps = 3 * self.stem(images)
        levels = [(1 + i) * F.avg_pool2d(maps, stride, ceil_mode=True) for i, stride in enumerate(self.strides)]
        return levels if self.neck is None else list(self.neck(levels))


def grid_detector(head: nn.Module) -> TinyDetector:
    return TinyDetector(head, (4, 8, 16, 32, 64)).eval()


def boxed_detector(head: nn.Module) -> TinyDetector:
    return TinyDetector(head, (8, 16, 32)).eval()


def sample(height: int, width: int, padded: tuple[int, int]) -> SimpleNamespace:
    """What a head asks of an image of this size in an input of the padded size, without resizing."""
    return SimpleNamespace(
        metainfo=dict(img_shape=(height, width), ori_shape=(height, width), batch_input_shape=padded)
    )
