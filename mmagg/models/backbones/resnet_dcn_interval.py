"""ResNet with a deformable convolution in every n-th block ("DCN interval" of YOLACT++; BlendMask, Table 8)."""

from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class ResNetDCNInterval(ResNet):
    """mmdet's ResNet in which only the blocks 0, n, 2n, ... of the stages of `stage_with_dcn` are deformable.

    Args:
        depth: 50, 101 or 152.
        dcn: the deformable convolution, for instance `dict(type='DCNv2', deform_groups=1)`.
        stage_with_dcn: per stage, whether it has deformable blocks.
        dcn_interval: n. With 3, ResNet-101 has 11 deformable blocks in its last three stages.
        **kwargs: see mmdet's `ResNet`.

    Raises:
        ValueError: if `dcn_interval` is not positive.
    """

    def __init__(
        self, depth: int, *, dcn: dict, stage_with_dcn: tuple[bool, ...], dcn_interval: int = 3, **kwargs
    ) -> None:
        if dcn_interval < 1:
            raise ValueError(f'dcn_interval is {dcn_interval}; it must be at least 1')
        self.dcn_interval = dcn_interval  # the constructor of ResNet needs it
        super().__init__(depth, dcn=dcn, stage_with_dcn=stage_with_dcn, **kwargs)

    def make_res_layer(self, *, dcn: dict | None, **kwargs) -> nn.Sequential:
        """One stage; ResNet's constructor calls it."""
        stage = super().make_res_layer(dcn=dcn, **kwargs)
        if dcn is not None:
            plain = super().make_res_layer(dcn=None, **kwargs)
            for i in range(len(stage)):
                if i % self.dcn_interval:
                    stage[i] = plain[i]
        return stage
