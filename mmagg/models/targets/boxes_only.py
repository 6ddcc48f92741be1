"""Images whose objects have boxes alone, as BoxInst learns from: before the network, and as targets of the mask loss.

Shape shorthand: B images, G objects of the batch, s stride of the masks, (H, W) input of the network, (h, w) mask size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import PolygonMasks
from torch import Tensor, nn

from mmagg.ops import upload
from mmagg.ops.lab import rgb_to_lab
from mmagg.ops.pixel_pairs import STEPS, at_neighbour


@MODELS.register_module()
class BoxesOnlyDataPreprocessor(DetDataPreprocessor):
    """mmdet's, which in training also makes each object's box its mask, and keeps the colours of the image.

    A sample has them as `colours`, (3, H / s, W / s) float32: mean red, green and blue of s x s pixels, 0 to 255, as
    they are before normalisation. Where padding or the bottom rows are among the pixels they are NaN, and like nothing.

    Args:
        stride: s, of the finest masks.
        bottom: rows of the original image that do not count, from the bottom: some of COCO's have noise there.
        options: those of `DetDataPreprocessor`.
    """

    def __init__(self, *, stride: int = 4, bottom: int = 10, **options: Any) -> None:
        super().__init__(**options)
        self.stride, self.bottom = stride, bottom

    def forward(self, data: dict, training: bool = False) -> dict:
        """See `DetDataPreprocessor`."""
        if not training:
            return super().forward(data, training)
        for sample in data['data_samples']:
            boxes = get_box_tensor(sample.gt_instances.bboxes)
            sample.gt_instances.masks = rectangles(boxes, sample.img_shape)
        data = self.cast_data(data)
        images = data['inputs']
        data = super().forward(data, training)
        for image, sample in zip(images, data['data_samples'], strict=True):
            sample.colours = self.colours(image, sample)
        return data

    def colours(self, image: Tensor, sample: DetDataSample) -> Tensor:
        """(3, H', W') blue, green and red of one image, without padding -> (3, H / s, W / s)."""
        height, width = sample.batch_input_shape
        rows = max(0, image.shape[1] - int(self.bottom * image.shape[1] / sample.ori_shape[0]))
        seen = image[:, :rows].flip(0).float()
        padded = F.pad(seen, (0, width - image.shape[2], 0, height - rows), value=torch.nan)
        return F.avg_pool2d(padded, self.stride)


def rectangles(boxes: Tensor, size: tuple[int, int]) -> PolygonMasks:
    """(N, 4) boxes x1, y1, x2, y2 in an image of (H, W) -> N masks."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].cpu().numpy()
    return PolygonMasks([[outline] for outline in corners], *size)


@MODELS.register_module()
class BoxInstTargets(nn.Module):
    """What BoxInst's losses compare masks with: boxes, and pairs of pixels of like colours (BoxInst, Sec. 3.2).

    Two colours in Lab are alike if exp(-|a - b| / 2) is at least a threshold.

    Args:
        threshold: least similarity.
    """

    def __init__(self, *, threshold: float = 0.3) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, samples: Sequence[DetDataSample], *, stride: int, size: tuple[int, int]) -> Tensor:
        """Targets of all objects of a batch.

        Args:
            samples: B, with `gt_instances` (bboxes), and `colours` of `BoxesOnlyDataPreprocessor`.
            stride: pixels of the network's input per mask pixel.
            size: (h, w).

        Returns:
            (G, 1 + 4, h, w) bool: the box, and at the first pixel of each pair of `STEPS` if the colours are alike.

        Raises:
            ValueError: there are no colours.
        """
        if not all('colours' in sample for sample in samples):
            raise ValueError("BoxInstTargets: no colours; data_preprocessor must be a 'BoxesOnlyDataPreprocessor'")
        counts = torch.tensor([len(sample.gt_instances) for sample in samples])
        boxes = torch.cat([sample.gt_instances.bboxes for sample in samples])
        images = upload(torch.arange(len(samples)).repeat_interleave(counts), boxes.device)
        colours = torch.stack([sample.colours for sample in samples])
        alike = self.alike(rgb_to_lab(F.adaptive_avg_pool2d(colours, size)))
        return torch.cat([box_pixels(boxes, stride=stride, size=size)[:, None], alike[images]], dim=1)

    def alike(self, lab: Tensor) -> Tensor:
        """(B, 3, h, w) colours -> (B, 4, h, w) bool, of each pair of `STEPS`; False where NaN takes part."""
        distances = [(lab - at_neighbour(lab, step, outside=torch.nan)).square().sum(1).sqrt() for step in STEPS]
        return (-torch.stack(distances, dim=1) / 2).exp() >= self.threshold


def box_pixels(boxes: Tensor, *, stride: int, size: tuple[int, int]) -> Tensor:
    """Boxes as masks: is the pixel at the centre of each stride x stride block in the box?

    Args:
        boxes: (G, 4) x1, y1, x2, y2 in pixels; all that they touch is in them.
        stride: pixels per mask pixel.
        size: (h, w).

    Returns:
        (G, h, w) bool.
    """
    low, high = boxes.floor().unflatten(1, (2, 2)).unbind(1)  # (G, 2), x and y
    lines = [torch.arange(side, device=boxes.device) * stride + stride // 2 for side in size]
    row, column = (
        (low[:, axis, None] <= line) & (line <= high[:, axis, None]) for axis, line in zip((1, 0), lines, strict=True)
    )
    return row[:, :, None] & column[:, None]
