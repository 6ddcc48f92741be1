"""A copy of a detector whose modules exporters can trace: the same weights and results, in plainer forms."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from torch import Tensor, nn

from mmagg.export.plain_ops import deform_conv, reassemble
from mmagg.models.layers.channel_gate import attention_pooled
from mmagg.models.layers.conv_tower import DeformableConvModule
from mmagg.models.layers.gacap import GACAP, CAPFusion
from mmagg.models.layers.gacarafe import GACARAFE, SCALE, CARAFEFusion
from mmagg.models.layers.global_context import MultiLevelGlobalContext, cosine_attention, normalised
from mmagg.models.masks.grid.solov2 import MaskFeatures


class PlainGlobalContext(MultiLevelGlobalContext):
    """`MultiLevelGlobalContext` without chunks of a memory budget, which would depend on the size of the image."""

    def collect(self, level: int, x: Tensor) -> Tensor:
        pixels = x.flatten(2).transpose(1, 2)
        entities, embed = self.entities[level], self.embed[level]
        scale = x.shape[1] ** 0.5
        logits = scale * F.linear(normalised(pixels, 2), entities.weight.flatten(1), entities.bias)
        return F.conv1d(pixels.transpose(1, 2) @ logits.softmax(dim=1), embed.weight.flatten(2), embed.bias)

    def distribute(self, level: int, x: Tensor, contexts: Tensor) -> Tensor:
        result, keys = self.lateral[level](x), contexts.transpose(1, 2)
        query, out = ((conv.weight.flatten(1), conv.bias) for conv in (self.query[level], self.out[level]))
        queries = F.linear(x.flatten(2).transpose(1, 2), *query)
        attended = cosine_attention(queries, keys, F.linear(keys, *out), norm_query=self.norm_query)
        return result + attended.transpose(1, 2).unflatten(2, x.shape[2:])


class PlainGACARAFE(GACARAFE):
    """`GACARAFE` by `reassemble`."""

    def forward(self, coarse: Tensor, fine: Tensor, *joined: Tensor) -> Tensor:
        small = halved(fine)
        first, second = self.encoder.halves(coarse, small)
        features, mask = self.encoder.split(first + second)
        weights = self.gate(torch.cat([attention_pooled(coarse, mask), attention_pooled(small, mask)], dim=1))
        return weights[0] * upsampled(coarse, self.predictor(features), fine) + weights[1] * fine


class PlainCARAFEFusion(CARAFEFusion):
    """`CARAFEFusion` by `reassemble`."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return fine + upsampled(coarse, self.predictor(self.reduce(coarse)), fine)


class PlainGACAP(GACAP):
    """`GACAP` by `reassemble`, with the coarse map upsampled instead of its attention pooled by the adjoint."""

    def forward(self, coarse: Tensor, fine: Tensor, *joined: Tensor) -> Tensor:
        size = fine.shape[2:]
        own, other = self.encoder.halves(fine, coarse)
        features, mask = self.encoder.split(own + F.interpolate(other, size=size, mode='bilinear', align_corners=False))
        large = F.interpolate(coarse, size=size, mode='bilinear', align_corners=False)
        weights = self.gate(torch.cat([attention_pooled(fine, mask), attention_pooled(large, mask)], dim=1))
        return weights[0] * coarse + weights[1] * reassemble(fine, self.predictor(features), stride=2, scale=1)


class PlainCAPFusion(CAPFusion):
    """`CAPFusion` by `reassemble`."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return coarse + reassemble(fine, self.predictor(self.reduce(fine)), stride=2, scale=1)


class PlainMaskFeatures(MaskFeatures):
    """`MaskFeatures` for inputs whose levels are exactly halves of one another: there is nothing to cut off."""

    def doubled(self, x: Tensor, finer: Tensor) -> Tensor:
        return F.interpolate(x, size=finer.shape[2:], mode='bilinear', align_corners=False)


class PlainAdaptivePadding(Conv2dAdaptivePadding):
    """TensorFlow's padding of inputs whose size the stride divides: the same for all of them."""

    def forward(self, x: Tensor) -> Tensor:
        rest = [
            max((k - 1) * d + 1 - s, 0) for k, d, s in zip(self.kernel_size, self.dilation, self.stride, strict=True)
        ]
        x = F.pad(x, [rest[1] // 2, rest[1] - rest[1] // 2, rest[0] // 2, rest[0] - rest[0] // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class PlainDeformableConvModule(DeformableConvModule):
    """`DeformableConvModule`, whose convolution takes maps of any size."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.activate(x if self.norm is None else self.norm(x))


class PlainDeformConv(DeformConv2dPack):
    """mmcv's deformable convolution as one node."""

    def forward(self, x: Tensor) -> Tensor:
        return deform_conv(x, self.conv_offset(x), None, self.weight, None, numbers(self))


class PlainModulatedDeformConv(ModulatedDeformConv2dPack):
    """mmcv's modulated deformable convolution as one node."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns, mask = self.conv_offset(x).chunk(3, dim=1)
        return deform_conv(x, torch.cat([rows, columns], 1), mask.sigmoid(), self.weight, self.bias, numbers(self))


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    MultiLevelGlobalContext: PlainGlobalContext,
    GACARAFE: PlainGACARAFE,
    CARAFEFusion: PlainCARAFEFusion,
    GACAP: PlainGACAP,
    CAPFusion: PlainCAPFusion,
    MaskFeatures: PlainMaskFeatures,
    Conv2dAdaptivePadding: PlainAdaptivePadding,
    DeformableConvModule: PlainDeformableConvModule,
    DeformConv2dPack: PlainDeformConv,
    ModulatedDeformConv2dPack: PlainModulatedDeformConv,
}


def halved(x: Tensor) -> Tensor:
    """`F.max_pool2d(x, 2, ceil_mode=True)`, for OpenVINO also of a single row or column, which it does not pool.

    The last row and column are there twice, which changes no maximum; of an even number, nothing is made of the second.
    """
    x = torch.cat([x, x[:, :, -1:]], dim=2)
    return F.max_pool2d(torch.cat([x, x[..., -1:]], dim=3), 2)


def upsampled(coarse: Tensor, kernels: Tensor, fine: Tensor) -> Tensor:
    """CARAFE of the coarse map, cut to the size of the fine one."""
    return reassemble(coarse, kernels, stride=1, scale=SCALE)[:, :, : fine.shape[2], : fine.shape[3]]


def numbers(conv: Any) -> list[int]:
    """Stride, padding, dilation, groups and groups of offsets of a deformable convolution."""
    sides: Sequence[Any] = conv.stride, conv.padding, conv.dilation
    return [*(side[0] if isinstance(side, tuple) else side for side in sides), conv.groups, conv.deform_groups]


def exportable(model: nn.Module) -> Any:
    """A copy on the CPU, in float32 and evaluation mode, with the modules of `PLAIN`."""
    model = deepcopy(model).cpu().float().eval().requires_grad_(False)
    for module in model.modules():
        if type(module) in PLAIN:
            module.__class__ = PLAIN[type(module)]
    return model
