"""A stack of 3x3 convolutions, as in the heads of SOLO (Fig. 3) and of most one-stage detectors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

DCN_PLACES = ('all', 'last')


class DeformableConvModule(ConvModule):
    """Deformable convolution, normalisation and activation, for maps of any size and under autocast.

    mmcv refuses maps smaller than the kernel and bfloat16; in float16 it would round the places where it samples, to
    an eighth of a pixel in a map's columns from 128 on.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h, w)."""
        (height, width), (rows, columns) = x.shape[-2:], self.kernel_size
        x = x.to(self.conv.weight.dtype)
        if height < rows or width < columns:  # zeros are what it reads beyond the map anyway
            x = F.pad(x, (0, max(0, columns - width), 0, max(0, rows - height)))
        with torch.autocast(x.device.type, enabled=False):
            x = self.conv(x)[..., :height, :width]
        return self.activate(x if self.norm is None else self.norm(x))


class ConvTower(nn.Sequential):
    """`num_convs` times 3x3 convolution, normalisation, ReLU; the size of the map stays.

    Args:
        in_channels: channels of the input.
        channels: channels of every layer's output.
        num_convs: number of layers.
        norm_cfg: normalisation; GroupNorm with 32 groups by default.
        bias: whether the convolutions have a bias; 'auto': only without a normalisation.
        dcn_cfg: deformable convolution to use instead of plain ones, for instance `dict(type='DCNv2')`.
        dcn_layers: where to use it: in 'all' layers or in the 'last' one.
        offset_std: standard deviation of the initial weights that predict where a deformable convolution samples.
        init_std: standard deviation of the initial weights. The authors' 0.01 suits 256 channels and SGD; with few
            channels and Adam, steps are large against such weights, and None, He's initialisation, learns faster.

    Raises:
        ValueError: if `dcn_layers` is neither of the two.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        num_convs: int,
        norm_cfg: dict | None = dict(type='GN', num_groups=32),  # noqa: B006 (never changed)
        bias: bool | str = 'auto',
        dcn_cfg: dict | None = None,
        dcn_layers: str = 'all',
        offset_std: float = 0.0,
        init_std: float | None = 0.01,
    ) -> None:
        if dcn_layers not in DCN_PLACES:
            raise ValueError(f'dcn_layers is {dcn_layers!r}; it must be one of {DCN_PLACES}')
        layers = []
        for i in range(num_convs):
            deformable = dcn_cfg is not None and (dcn_layers == 'all' or i == num_convs - 1)
            layers.append(
                (DeformableConvModule if deformable else ConvModule)(
                    in_channels if i == 0 else channels,
                    channels,
                    kernel_size=3,
                    padding=1,
                    conv_cfg=dcn_cfg if deformable else None,
                    norm_cfg=norm_cfg,
                    bias='auto' if deformable else bias,  # deformable convolutions v1 have none
                )
            )
        super().__init__(*layers)
        self.offset_std, self.init_std = offset_std, init_std

    def on_levels(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """The outputs on every level of a pyramid, (B, C, h, w) each."""
        return [self(x) for x in feats]

    def init_weights(self) -> None:
        """Plain convolutions as `init_std`, offsets as `offset_std` says; deformable weights stay as mmcv made them."""
        for layer in self:
            if isinstance(layer, DeformableConvModule):
                nn.init.normal_(layer.conv.conv_offset.weight, std=self.offset_std)
            elif self.init_std is None:
                nn.init.kaiming_normal_(layer.conv.weight, nonlinearity='relu')
            else:
                nn.init.normal_(layer.conv.weight, std=self.init_std)
