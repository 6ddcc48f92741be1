"""The assignment of objects to the locations of a pyramid (FCOS, Sec. 3.1 and 3.2).

Shape shorthand: G objects of one image, L levels, Q locations over all levels, row-major within each.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.ops import upload


def location_points(sizes: Sequence[Sequence[int]], strides: Sequence[int], device: torch.device) -> list[Tensor]:
    """Centres of the cells of every level.

    Args:
        sizes: (h, w) of each level.
        strides: pixels of the network's input per cell.
        device: of the result.

    Returns:
        (h * w, 2) float32 x, y in pixels per level.
    """
    points = []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
        points.append(upload((torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5) * stride, device))
    return points


def location_table(sizes: Sequence[Sequence[int]], strides: Sequence[int]) -> Tensor:
    """Centres of the cells of all levels, and their strides, as `location_points`: (Q, 3) float32, on the CPU."""
    levels = location_points(sizes, strides, torch.device('cpu'))
    return torch.cat([F.pad(x, (0, 1), value=stride) for x, stride in zip(levels, strides, strict=True)])


@TASK_UTILS.register_module()
class LocationAssigner:
    """A location is assigned the smallest object whose centre region it is in and whose size suits its level.

    Args:
        strides: pixels per cell of each level.
        ranges: per level the limits of a location's greatest distance to a side of the box, in pixels, both inclusive.
        radius: half the side, in strides, of the centre region, which is cut to the box; None: the whole box.

    Raises:
        ValueError: if the numbers of levels differ.
    """

    def __init__(
        self, *, strides: Sequence[int], ranges: Sequence[tuple[float, float]], radius: float | None = 1.5
    ) -> None:
        if len(strides) != len(ranges):
            raise ValueError(f'LocationAssigner: strides {strides} and ranges {ranges} must have one entry per level')
        self.strides, self.ranges, self.radius = tuple(strides), tuple(ranges), radius

    def assign(self, points: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Objects of all locations of an image.

        Args:
            points: (h * w, 2) x, y of each level's locations, in pixels.
            boxes: (G, 4) x1, y1, x2, y2 in pixels.

        Returns:
            (Q,) long, index of the object, -1 where there is none.
        """
        counts = [len(x) for x in points]
        if len(boxes) == 0:
            return torch.full((sum(counts),), -1, device=boxes.device)
        rows = [
            ((self.radius or 0) * stride, *range_) for stride, range_ in zip(self.strides, self.ranges, strict=True)
        ]
        limits = torch.tensor(rows, dtype=boxes.dtype).repeat_interleave(torch.tensor(counts), 0)
        reach, low, high = upload(limits, boxes.device)[:, None].unbind(2)  # (Q, 1) each
        at = torch.cat(list(points))[:, None]
        to_box = distances_to_sides(at, boxes)  # (Q, G, 4)
        within = to_box.amin(-1) > 0
        if self.radius is not None:
            # Nearer to the centre than the region reaches, on both axes.
            centre, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, reach[..., None]
            to_region = distances_to_sides(at, torch.cat([centre - reach, centre + reach], dim=-1))
            within &= to_region.amin(-1) > 0
        farthest = to_box.amax(-1)
        fits = within & (farthest >= low) & (farthest <= high)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        smallest, gts = torch.where(fits, areas, torch.inf).min(1)
        return gts.masked_fill_(smallest.isinf(), -1)


def distances_to_sides(points: Tensor, boxes: Tensor) -> Tensor:
    """From points to the sides of boxes, outwards.

    Args:
        points: (..., 2) x, y.
        boxes: (..., 4) x1, y1, x2, y2.

    Returns:
        (..., 4) left, top, right, bottom; negative where the point is outside.
    """
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def boxes_around(points: Tensor, distances: Tensor) -> Tensor:
    """The inverse of `distances_to_sides`: (..., 2) points and (..., 4) distances -> (..., 4) boxes."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)
