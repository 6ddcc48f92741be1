"""A stack of 3x3 convolutions, as in the heads of SOLO (SOLO, Fig. 3) and of most one-stage detectors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmagg.ops import append_coordinates

DCN_PLACES = ('all', 'last')


class DeformableConvModule(ConvModule):
    """Deformable convolution, normalisation and activation, for maps of any size and under autocast.

    mmcv refuses bfloat16 and maps smaller than the kernel. In float16 it rounds sampling locations, from column 128 on
    to an eighth of a pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h, w)."""
        (height, width), (rows, columns) = x.shape[-2:], self.kernel_size
        x = x.to(self.conv.weight.dtype)
        if height < rows or width < columns:  # zeros, as the convolution's own padding
            x = F.pad(x, (0, max(0, columns - width), 0, max(0, rows - height)))
        with torch.autocast(x.device.type, enabled=False):
            x = self.conv(x)[..., :height, :width]
        return self.activate(x if self.norm is None else self.norm(x))


class ConvTower(nn.Sequential):
    """`num_convs` times 3x3 convolution, normalisation, ReLU; the size of the map stays.

    Args:
        in_channels: channels of the input, without coordinates.
        channels: C, channels of every layer's output.
        num_convs: number of layers.
        norm_cfg: normalisation; None for none.
        bias: whether the convolutions have a bias; 'auto': only without a normalisation.
        dcn_cfg: deformable convolution instead of plain ones, for instance `dict(type='DCNv2')`; None for none.
        dcn_layers: its layers, 'all' or the 'last'.
        coord_convs: number of first layers that pixel coordinates are concatenated to the input of (CoordConv; SOLO,
            Table 3, compares).
        offset_std: standard deviation of the initial weights that predict the offsets of a deformable convolution.
        init_std: standard deviation of the initial weights; None: He's initialisation, which learns faster with few
            channels and Adam. The releases' 0.01 suits 256 channels and SGD.

    Raises:
        ValueError: if `dcn_layers` is neither of the two, or `coord_convs` not in [0, `num_convs`].
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
        coord_convs: int = 0,
        offset_std: float = 0.0,
        init_std: float | None = 0.01,
    ) -> None:
        if dcn_layers not in DCN_PLACES:
            raise ValueError(f'dcn_layers is {dcn_layers!r}; it must be one of {DCN_PLACES}')
        if not 0 <= coord_convs <= num_convs:
            raise ValueError(f'coord_convs is {coord_convs}; the tower has {num_convs} layers')
        layers = []
        for i in range(num_convs):
            deformable = dcn_cfg is not None and (dcn_layers == 'all' or i == num_convs - 1)
            layers.append(
                (DeformableConvModule if deformable else ConvModule)(
                    (in_channels if i == 0 else channels) + 2 * (i < coord_convs),
                    channels,
                    kernel_size=3,
                    padding=1,
                    conv_cfg=dcn_cfg if deformable else None,
                    norm_cfg=norm_cfg,
                    bias='auto' if deformable else bias,  # deformable convolutions v1 have none
                )
            )
        super().__init__(*layers)
        self.coord_convs, self.offset_std, self.init_std = coord_convs, offset_std, init_std

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, C, h, w)."""
        for i, layer in enumerate(self):
            x = layer(append_coordinates(x) if i < self.coord_convs else x)
        return x

    def on_levels(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """The outputs (B, C, h, w) on every level of a pyramid."""
        return [self(x) for x in feats]

    def init_weights(self) -> None:
        """Plain convolutions by `init_std`, offsets by `offset_std`; deformable weights by mmcv."""
        for layer in self:
            if isinstance(layer, DeformableConvModule):
                nn.init.normal_(layer.get_parameter('conv.conv_offset.weight'), std=self.offset_std)
            elif self.init_std is None:
                nn.init.kaiming_normal_(layer.get_parameter('conv.weight'), nonlinearity='relu')
            else:
                nn.init.normal_(layer.get_parameter('conv.weight'), std=self.init_std)
