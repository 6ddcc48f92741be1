"""Upsampling by sampling: every fine pixel looks up the coarse map where it wants to (DySample, Sec. 3).

    large(p) = bilinear(x, p + Δ(p)),  Δ = 0.25 · conv(x)  or, "DySample+",  0.5 · σ(scope(x)) · conv(x)

Each group of channels has offsets of its own, in pixels of the coarse map; they are predicted there for the fine pixels
of each, in the order of a pixel shuffle. Without offsets it is bilinear interpolation.

Shape shorthand: B images, C channels, G groups, (h, w) size of the coarse map, (H, W) = (2h, 2w) of the result.
"""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

SCALE = 2
STATIC_SCOPE, LARGEST_SCOPE = 0.25, 0.5  # the first is half of the second: a dynamic scope starts at the static one
OFFSET_INIT_STD = 0.001


@MODELS.register_module()
class DySample(BaseModule):
    """Upsamples a map to twice its size.

    State-dict keys and their layout are the release's (style "lp").

    Args:
        channels: C, a multiple of `groups`.
        groups: G.
        dynamic_scope: True: DySample+, how far offsets reach is predicted, too.

    Raises:
        ValueError: `groups` does not divide `channels`.
    """

    def __init__(self, *, channels: int, groups: int = 4, dynamic_scope: bool = True) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f'groups={groups} does not divide channels={channels}')
        outputs = 2 * groups * SCALE**2
        self.offset = nn.Conv2d(channels, outputs, 1)
        self.scope = nn.Conv2d(channels, outputs, 1, bias=False) if dynamic_scope else None

    def init_weights(self) -> None:
        """Offsets of nearly zero, N(0, 0.001), and the scope of the static form."""
        super().init_weights()
        nn.init.normal_(self.offset.weight, std=OFFSET_INIT_STD)
        nn.init.zeros_(self.offset.get_parameter('bias'))
        if self.scope is not None:
            nn.init.zeros_(self.scope.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w)."""
        scope = STATIC_SCOPE if self.scope is None else LARGEST_SCOPE * self.scope(x).sigmoid()
        offsets = F.pixel_shuffle(self.offset(x) * scope, SCALE).unflatten(1, (2, -1))  # (B, 2, G, H, W): x, then y
        return sampled(x, offsets)


def sampled(x: Tensor, offsets: Tensor) -> Tensor:
    """(B, C, h, w) and (B, 2, G, H, W) offsets (x, y) in its pixels, from bilinear upsampling's places -> (B, C, H, W).

    In float32 at least: half a map has fewer places than pixels. Beyond the border, its pixels repeat.
    """
    (height, width), groups = offsets.shape[3:], offsets.shape[2]
    dtype = torch.promote_types(offsets.dtype, torch.float32)
    rows, columns = (
        (2 * torch.arange(size, device=x.device, dtype=dtype) + 1) / size - 1 for size in (height, width)
    )  # centres, from -1 to 1
    pixels = offsets.to(dtype).permute(0, 2, 3, 4, 1).flatten(0, 1)  # (B · G, H, W, 2)
    places = torch.stack(
        [columns + pixels[..., 0] * (2 / x.shape[3]), rows[:, None] + pixels[..., 1] * (2 / x.shape[2])], 3
    )
    maps = x.unflatten(1, (groups, -1)).flatten(0, 1).to(dtype)
    large = F.grid_sample(maps, places, mode='bilinear', padding_mode='border', align_corners=False)
    return large.unflatten(0, (-1, groups)).flatten(1, 2).to(x.dtype)


@MODELS.register_module()
class DySampleFusion(BaseModule):
    """A top-down step: the coarse level, upsampled by DySample, added to the fine one; arguments as in `DySample`."""

    def __init__(self, *, channels: int = 256, groups: int = 4, dynamic_scope: bool = True) -> None:
        super().__init__()
        self.upsample = DySample(channels=channels, groups=groups, dynamic_scope=dynamic_scope)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W)."""
        return fine + self.upsample(coarse)[:, :, : fine.shape[2], : fine.shape[3]]
