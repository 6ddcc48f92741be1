"""Operators of the models in forms that exporters know: fixed shapes, nothing but standard operators.

Shape shorthand: B images, C channels, N places asked for, k kernel side, s scale, (h, w) map size.
"""

from collections.abc import Sequence
from math import isqrt

import torch
import torch.nn.functional as F
from mmcv.ops import deform_conv2d, modulated_deform_conv2d
from mmcv.ops import nms as mmcv_nms
from mmcv.ops import roi_align as mmcv_roi_align
from torch import Tensor

CHANNELS = 32  # of a map whose neighbourhoods are gathered at once: 25 times as large as the map


class Windows:
    """Windows of k x k pixels around the pixels of several maps, one map after the other.

    Args:
        maps: (B, C, h, w) each.
        kernel_size: k, odd.
    """

    def __init__(self, maps: Sequence[Tensor], kernel_size: int) -> None:
        padding, near = kernel_size // 2, torch.arange(kernel_size)
        # Pixels of all padded maps, (B, Q, C).
        self.pixels = torch.cat([F.pad(x, [padding] * 4).flatten(2) for x in maps], dim=2).transpose(1, 2)
        tables: list[Tensor] = []
        before = 0
        for x in maps:
            height, width = x.shape[2:]
            rows, columns = (torch.arange(n)[:, None] + near for n in (height, width))  # (h, k), (w, k)
            table = rows[:, None, :, None] * (width + 2 * padding) + columns[None, :, None, :]
            tables.append(table.flatten(2).flatten(0, 1) + before)
            before = before + (height + 2 * padding) * (width + 2 * padding)
        self.table = torch.cat(tables)  # (pixels without the padding, k²)

    def at(self, places: Tensor) -> Tensor:
        """(B, N) long, counted over all maps -> (B, N, k² · C), the pixels first."""
        return rows_of(self.pixels, self.table[places].flatten(1)).unflatten(1, (-1, self.table.shape[1])).flatten(2)


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table of each image: (B, Q, C) and (B, N) -> (B, N, C)."""
    images, number = table.shape[:2]
    # Whole rows of all images' tables, one below the other: indices of each element would be as large as the result.
    of_image = torch.arange(images)[:, None] * number
    return table.flatten(0, 1)[index + of_image]


def conv_of_windows(windows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution at some places: `Windows.at` (B, N, k² · C) and weight (O, C, k, k) -> (B, N, O)."""
    return F.linear(windows, weight.permute(0, 2, 3, 1).flatten(1), bias)


def reassemble(x: Tensor, kernels: Tensor, *, stride: int, scale: int) -> Tensor:
    """`reassemble_up` (stride 1) or `reassemble_down` (scale 1) of one group: a product for each pixel.

    Gathered are the pixels around each, of a few channels at a time. A shifted map for each tap would be 25 times as
    many nodes, which exporters and runtimes look at for minutes.

    Args:
        x: (B, C, H, W).
        kernels: (B, k² · s², h, w), as there.

    Returns:
        (B, C, s · h, s · w).
    """
    taps = kernels.shape[1] // scale**2
    k = isqrt(taps)
    (height, width), stride_of_rows = kernels.shape[2:], x.shape[3] + k - 1
    near = torch.arange(k)
    rows = torch.arange(height)[:, None] * stride + near
    columns = torch.arange(width)[:, None] * stride + near
    index = (rows[:, None, :, None] * stride_of_rows + columns[:, None, :]).flatten()  # of pixels, then taps
    weights = kernels.unflatten(1, (taps, scale**2)).flatten(3).permute(0, 3, 2, 1)  # (B, h w, s², k²)
    pixels = F.pad(x, [k // 2] * 4).flatten(2).transpose(1, 2)
    parts = []
    for start in range(0, x.shape[1], CHANNELS):
        around = pixels[:, :, start : start + CHANNELS].index_select(1, index)
        parts.append(weights @ around.unflatten(1, (height * width, taps)))  # (B, h w, s², c)
    whole = torch.cat(parts, dim=3).permute(0, 3, 2, 1).flatten(1, 2)
    return F.pixel_shuffle(whole.unflatten(2, (height, width)), scale)


# Operators that ONNX has and PyTorch has not: opaque here, and one node each in the file.


@torch.library.custom_op('mmagg_export::roi_align', mutates_args=())
def roi_align(maps: Tensor, rois: Tensor, size: int, scale: float, aligned: bool) -> Tensor:
    """RoIAlign with one sample per bin: (B, C, h, w) and (N, 5) -> (N, C, size, size)."""
    return mmcv_roi_align(maps, rois, size, scale, 1, 'avg', aligned)


@roi_align.register_fake
def _(maps: Tensor, rois: Tensor, size: int, scale: float, aligned: bool) -> Tensor:
    return maps.new_empty(rois.shape[0], maps.shape[1], size, size)


@torch.library.custom_op('mmagg_export::nms', mutates_args=())
def nms(boxes: Tensor, scores: Tensor, iou_thr: float) -> Tensor:
    """Which boxes of each image no better one of their class overlaps more.

    Args:
        boxes: (B, N, 4).
        scores: (B, C, N); of each box, one class's is above 0, or none for no box.
        iou_thr: IoU above which a box is suppressed.

    Returns:
        (B, N) float32, 1 for those that stay, else 0.
    """
    kept = boxes.new_zeros(boxes.shape[:2])
    for image, classes in enumerate(scores):
        for some in classes:
            places = some.nonzero()[:, 0]
            if len(places):
                kept[image, places[mmcv_nms(boxes[image, places], some[places], iou_thr)[1]]] = 1
    return kept


@nms.register_fake
def _(boxes: Tensor, scores: Tensor, iou_thr: float) -> Tensor:
    return boxes.new_empty(boxes.shape[:2])


@torch.library.custom_op('mmagg_export::deform_conv', mutates_args=())
def deform_conv(
    x: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None, numbers: list[int]
) -> Tensor:
    """Deformable convolution, with a mask (v2) or without (v1), zero padding that keeps the size.

    Args:
        x: (B, C, h, w).
        offset: (B, 2 · g · k², h, w).
        mask: (B, g · k², h, w), or None.
        weight: (O, C / groups, k, k).
        bias: (O,), or None.
        numbers: stride, padding, dilation, groups, g.
    """
    stride, padding, dilation, groups, deform_groups = numbers
    (height, width), (rows, columns) = x.shape[2:], weight.shape[2:]
    # mmcv refuses maps that are smaller than the kernel.
    missing = 0, max(0, columns - width), 0, max(0, rows - height)
    x, offset = F.pad(x, missing), F.pad(offset, missing)
    if mask is None:
        assert bias is None
        found = deform_conv2d(x, offset, weight, stride, padding, dilation, groups, deform_groups)
    else:
        mask = F.pad(mask, missing)
        found = modulated_deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups)
    return found[..., :height, :width].contiguous()


@deform_conv.register_fake
def _(
    x: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None, numbers: list[int]
) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], *offset.shape[2:])
