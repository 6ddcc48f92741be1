"""A2-FPN: a feature pyramid with attention in its lateral connections and fusions (A2-FPN, Fig. 2).

    backbone -> lateral (MGC) -> top-down (GACARAFE) -> 3x3 -> bottom-up (GACAP) -> 3x3 -> extra levels

Shape shorthand: B images, C channels of a level, (h_i, w_i) its size.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmagg.models.layers import few_launches
from mmagg.ops import in_few_launches

EXTRA_CONVS = (False, 'on_output')
XAVIER = dict(type='Xavier', layer=['Conv1d', 'Conv2d'], distribution='uniform')


@MODELS.register_module()
class LateralConvs(BaseModule):
    """FPN's lateral connections: a 1x1 convolution per level.

    Args:
        in_channels: of each level.
        out_channels: C.
    """

    def __init__(self, *, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, c_i, h_i, w_i) -> levels (B, C, h_i, w_i)."""
        return [conv(x) for conv, x in zip(self.convs, feats, strict=True)]


@MODELS.register_module()
class A2FPN(BaseModule):
    """A2-FPN, its Lite form, FPN, PAFPN and mixtures of them.

    The defaults are the full A2-FPN. With `lateral=dict(type='LateralConvs')`, `top_down=dict(type='NearestFusion')`,
    `bottom_up=dict(type='StridedConvFusion')`, `joint_level=False` and `finest_conv=False` it is mmdet's PAFPN.

    Args:
        in_channels: channels of the backbone's stages.
        out_channels: C.
        num_outs: number of levels; those beyond the pathways are pooled or convolved from the last one.
        start_level: first stage used (1 with FCOS and RetinaNet, whose levels begin at stride 8).
        lateral: config of the lateral connections; their orthogonal loss is their method `orthogonality`, if they have
            one.
        top_down: config of a top-down fusion.
        bottom_up: config of a bottom-up fusion; None: no bottom-up pathway (FPN).
        joint_level: a 3x3 convolution of stride 2 on the last stage makes one more level (F6), which takes part in both
            pathways; not in the Lite form.
        finest_conv: a 3x3 convolution on the finest level also after the bottom-up pathway; not in the Lite form.
        add_extra_convs: False: further levels are max-pooled; 'on_output': 3x3 convolutions of stride 2.
        relu_before_extra_convs: a ReLU before each of these convolutions but the first, as in mmdet's FPN.
        orthogonal_weight: λ of the orthogonal loss (A2-FPN, Eq. 2), see `auxiliary_losses`.

    Raises:
        ValueError: the options do not fit together.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_outs: int = 5,
        start_level: int = 0,
        lateral: dict = dict(type='MultiLevelGlobalContext'),  # noqa: B006 (never changed)
        top_down: dict = dict(type='GACARAFE'),  # noqa: B006
        bottom_up: dict | None = dict(type='GACAP'),  # noqa: B006
        joint_level: bool = True,
        finest_conv: bool = True,
        add_extra_convs: bool | str = False,
        relu_before_extra_convs: bool = False,
        orthogonal_weight: float = 1e-4,
        init_cfg: dict | None = XAVIER,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= start_level < len(in_channels):
            raise ValueError(f'start_level={start_level}, but in_channels={list(in_channels)}')
        used = list(in_channels)[start_level:]
        levels = len(used) + joint_level
        if num_outs < levels:
            raise ValueError(f'num_outs={num_outs}, but the pathways make {levels} levels: change it, or joint_level')
        if add_extra_convs not in EXTRA_CONVS:
            raise ValueError(f'add_extra_convs is {add_extra_convs!r}; it must be one of {EXTRA_CONVS}')
        if bottom_up is None and finest_conv:
            raise ValueError('finest_conv=True, but without bottom_up there is no convolution after that pathway')

        channels = dict(in_channels=used, out_channels=out_channels)
        self.lateral = MODELS.build(lateral | channels)
        self.joint_conv = nn.Conv2d(used[-1], out_channels, 3, stride=2, padding=1) if joint_level else None

        def fusions(config: dict) -> ModuleList:
            return ModuleList(MODELS.build(config | dict(channels=out_channels)) for _ in range(levels - 1))

        def convs(number: int, stride: int = 1) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Conv2d(out_channels, out_channels, 3, stride=stride, padding=1) for _ in range(number)
            )

        self.top_down, self.top_down_convs = fusions(top_down), convs(levels)
        self.bottom_up = None if bottom_up is None else fusions(bottom_up)
        self.bottom_up_convs = convs(0 if bottom_up is None else levels - 1 + finest_conv)
        self.num_extra = num_outs - levels
        self.extra_convs = convs(self.num_extra if add_extra_convs else 0, stride=2)
        self.start_level, self.relu_before_extra_convs = start_level, relu_before_extra_convs
        self.orthogonal_weight = orthogonal_weight

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Stages of the backbone (B, c_i, h_i, w_i) -> `num_outs` levels (B, C, h_i, w_i), each half the one before."""
        stages = stages[self.start_level :]
        levels = self.lateral(stages)
        if self.joint_conv is not None:
            levels.append(self.joint_conv(stages[-1]))

        fusions = [*self.top_down, *(self.bottom_up or ())]
        joined: dict = few_launches.pair_weights(fusions) if in_few_launches(levels[0]) else {}

        for i in reversed(range(len(levels) - 1)):
            fuse = self.top_down[i]
            levels[i] = fuse(levels[i + 1], levels[i], *joined.get(fuse, ()))
        # In place of the list, here and below: the map before the convolution is then freed.
        for i, conv in enumerate(self.top_down_convs):
            levels[i] = conv(levels[i])

        if self.bottom_up is not None:
            for i in range(len(levels) - 1):
                fuse = self.bottom_up[i]
                levels[i + 1] = fuse(levels[i + 1], levels[i], *joined.get(fuse, ()))
            for i, conv in enumerate(self.bottom_up_convs, start=len(levels) - len(self.bottom_up_convs)):
                levels[i] = conv(levels[i])

        for i in range(self.num_extra):
            levels.append(self.extra(i, levels[-1]))
        return tuple(levels)

    def extra(self, i: int, x: Tensor) -> Tensor:
        """The i-th level beyond the pathways, from the last one: (B, C, h, w) -> (B, C, ⌈h/2⌉, ⌈w/2⌉)."""
        if not self.extra_convs:
            return F.max_pool2d(x, 1, stride=2)
        return self.extra_convs[i](F.relu(x) if self.relu_before_extra_convs and i else x)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """`loss_orth`, λ Σ ‖W_ψ W_ψᵀ - I‖² (A2-FPN, Eq. 2); `AuxiliaryLossHook` adds it to the detector's losses."""
        if not self.orthogonal_weight or not hasattr(self.lateral, 'orthogonality'):
            return {}
        return {'loss_orth': self.orthogonal_weight * self.lateral.orthogonality()}
