"""ProtoNet, a bottom module: the bases that all instances of an image share (BlendMask, Sec. 3.1 and Table 7).

Shape shorthand: B images, C channels, K bases, (h, w) size of the finest level.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class ProtoNet(BaseModule):
    """Bases from one or more levels of a pyramid, at twice the size of the finest.

    Each level has a 3x3 block (convolution, normalisation, ReLU); coarser levels are upsampled and added to the finest.
    Then follow `num_convs` blocks, bilinear upsampling by two, one more block and a 1x1 convolution. With one level,
    `num_convs=2` and no normalisation it is YOLACT's protonet: three convolutions before the upsampling.

    Args:
        in_channels: channels of each level.
        levels: indices among the neck's levels, the finest first: of P3, P4, ..., (0, 1, 2) is the paper's Proto-FPN
            and (0,) its Proto-P3.
        channels: channels of every block.
        num_convs: blocks between the levels' own and the upsampling: 3 in the released models, 2 in the real-time ones
            and in the paper's Proto-P3 and Proto-FPN.
        num_bases: K.
        norm_cfg: normalisation, whose convolutions have no bias; the release's is synchronised over GPUs. None: there
            is none.

    Raises:
        ValueError: if there are no levels.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        levels: Sequence[int] = (0, 1, 2),
        channels: int = 128,
        num_convs: int = 3,
        num_bases: int = 4,
        norm_cfg: dict | None = dict(type='SyncBN'),  # noqa: B006 (never changed)
    ) -> None:
        if not levels:
            raise ValueError('levels is empty; ProtoNet needs at least one level to make bases from')
        super().__init__()

        def block(in_channels: int) -> ConvModule:
            return ConvModule(in_channels, channels, kernel_size=3, padding=1, norm_cfg=norm_cfg)

        self.levels, self.num_bases = tuple(levels), num_bases
        self.refine = nn.ModuleList(block(in_channels) for _ in levels)
        self.tower = nn.ModuleList(block(channels) for _ in range(num_convs + 1))
        self.conv_bases = nn.Conv2d(channels, num_bases, 1)

    def init_weights(self) -> None:
        """Blocks by `init_blocks`; the last convolution keeps PyTorch's default."""
        super().init_weights()
        init_blocks(self)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """The neck's levels (B, C, h_i, w_i) -> (B, K, 2h, 2w) bases."""
        x, *coarser = (refine(feats[level]) for refine, level in zip(self.refine, self.levels, strict=True))
        for y in coarser:
            x = x + F.interpolate(y, size=x.shape[-2:], mode='bilinear', align_corners=False)
        for block in self.tower[:-1]:
            x = block(x)
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        return self.conv_bases(self.tower[-1](x))


def init_blocks(module: nn.Module) -> None:
    """Initialise all `ConvModule` of a module uniformly with variance 1 / fan-in, as in the release."""
    for layer in module.modules():
        if isinstance(layer, ConvModule):
            nn.init.kaiming_uniform_(layer.conv.weight, a=1)
