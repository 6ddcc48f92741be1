"""A stack of 3x3 convolutions, as in the heads of SOLO (Fig. 3) and of most one-stage detectors."""

from mmcv.cnn import ConvModule
from torch import nn

DCN_PLACES = ('all', 'last')


class ConvTower(nn.Sequential):
    """`num_convs` times 3x3 convolution, normalisation, ReLU; the size of the map stays.

    Args:
        in_channels: channels of the input.
        channels: channels of every layer's output.
        num_convs: number of layers.
        norm_cfg: normalisation; GroupNorm with 32 groups by default. Convolutions have a bias only without one.
        dcn_cfg: deformable convolution to use instead of plain ones, for instance `dict(type='DCNv2')`.
        dcn_layers: where to use it: in 'all' layers or in the 'last' one.
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
        dcn_cfg: dict | None = None,
        dcn_layers: str = 'all',
        init_std: float | None = 0.01,
    ) -> None:
        if dcn_layers not in DCN_PLACES:
            raise ValueError(f'dcn_layers is {dcn_layers!r}; it must be one of {DCN_PLACES}')
        super().__init__(
            *(
                ConvModule(
                    in_channels if i == 0 else channels,
                    channels,
                    kernel_size=3,
                    padding=1,
                    conv_cfg=dcn_cfg if dcn_layers == 'all' or i == num_convs - 1 else None,
                    norm_cfg=norm_cfg,
                )
                for i in range(num_convs)
            )
        )

        self.init_std = init_std

    def init_weights(self) -> None:
        """Normal weights for plain convolutions; deformable ones keep their own (their offsets start at zero)."""
        for layer in self:
            if type(layer.conv) is not nn.Conv2d:
                continue
            if self.init_std is None:
                nn.init.kaiming_normal_(layer.conv.weight, nonlinearity='relu')
            else:
                nn.init.normal_(layer.conv.weight, std=self.init_std)
