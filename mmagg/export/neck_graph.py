"""Backbone and neck as one function of an image: the pyramid, for heads that are not exported."""

from typing import Any

from torch import Tensor, nn


class NeckGraph(nn.Module):
    """From normalised, padded images (B, 3, H, W) to the levels of the neck, finest first.

    Args:
        model: the detector, with modules of `exportable`.
        levels: their number.
    """

    inputs = ('images',)

    def __init__(self, model: Any, *, levels: int) -> None:
        super().__init__()
        self.model = model
        self.outputs = tuple(f'level_{i}' for i in range(levels))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> a (B, C, h, w) per level."""
        return tuple(self.model.extract_feat(images))
