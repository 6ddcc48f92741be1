"""Where a config's own assigner puts the objects of a data set: cells of SOLO's grids, or locations of FCOS.

The network sees images as in a test, each padded alone. A training's jitter of scale, and the padding of a batch, move
objects among cells; shares of many objects hardly change.

Shape shorthand: I images, N objects of all images, G of one image, L levels, Q cells or locations of all levels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from torch import Tensor
from tqdm import tqdm

from mmagg.datasets.config_parts import dicts, type_name
from mmagg.datasets.network_sizes import Size
from mmagg.experiments.annotated_objects import AnnotatedObjects
from mmagg.models.targets import ATSSLocationAssigner, GridCellAssigner, LocationAssigner, location_points

GRID = 'GridCellAssigner'
POINTS = 'LocationAssigner', 'ATSSLocationAssigner'
MOST_CLAIMS = 2**23  # entries of one block of claims, a byte each
Seen = Mapping[Size, tuple[Size, Size]]


@dataclass(frozen=True)
class Level:
    """A level of a head.

    Attributes:
        stride: of what the head works on, in pixels of the network's image.
        grid: cells a side; None of locations.
        sizes: the smallest and largest that it is for: of sqrt(w * h) of a box, or of a location's greatest distance
            to a side of it; None where the assigner has no such limits.
    """

    stride: int
    grid: int | None
    sizes: tuple[float, float] | None


@dataclass(frozen=True)
class Places:
    """The cells or locations of N objects.

    Attributes:
        levels: the L levels.
        on_level: (N, L) cells that an object claims, or locations that it is assigned.
        positives: (N,) cells or locations that learn its mask.
        fits: (N,) bool, whether it would have one if it were alone in its image.
        owns: (N,) bool, whether one is told its class. An object that fits, but owns none, has lost all to others.
    """

    levels: Sequence[Level]
    on_level: np.ndarray
    positives: np.ndarray
    fits: np.ndarray
    owns: np.ndarray


def assigning_head(cfg: Config) -> dict | None:
    """The part of a config's model whose assigner is one of this project's; None where there is none."""
    heads = (part for _, part in dicts(cfg.model) if type_name(part.get('assigner')) in (GRID, *POINTS))
    return next(heads, None)


def mask_pixels(cfg: Config, head: Mapping[str, Any]) -> list[int | None]:
    """The smallest that a mask of each level of an `assigning_head` can show, in pixels of the network's image.

    With grids it is the stride of all masks, or half of each level's; with boxes that of the bases, or None where a
    mask has the size of its box alone.
    """
    if 'grids' not in head:
        parents = (part for _, part in dicts(cfg.model) if part.get('boxes') is head)
        return [(next(parents, {}).get('masks') or {}).get('stride')] * len(head['strides'])
    branch = head['mask_branch']
    common = signature(MODELS.get(branch['type']).__init__).parameters.get('mask_stride')
    if common is None:
        return [stride // 2 for stride in head['strides']]
    return [branch.get('mask_stride', common.default)] * len(head['strides'])


def object_places(head: Mapping[str, Any], objects: AnnotatedObjects, seen: Seen) -> Places:
    """Assign all objects as a training of a config would.

    Args:
        head: the `assigning_head` of a config.
        objects: N of them.
        seen: what `network_sizes` finds of their images.
    """
    boxes, areas, centres = _as_seen(objects, seen)
    padded = [seen[size][1] for size in objects.sizes]
    if type_name(head['assigner']) == GRID:
        cells = TASK_UTILS.build(dict(grids=head['grids']) | head['assigner'])
        rows = zip(head['strides'], cells.grids, cells.scale_ranges, strict=True)
        return _in_cells(cells, [Level(*row) for row in rows], objects.images, boxes, areas, centres, padded)
    points = TASK_UTILS.build(dict(strides=head['strides']) | head['assigner'])
    ranges = getattr(points, 'ranges', [None] * len(points.strides))  # ATSS has none
    levels = [Level(stride, None, sizes) for stride, sizes in zip(points.strides, ranges, strict=True)]
    return _at_locations(points, levels, objects.images, boxes, padded)


def network_scale(objects: AnnotatedObjects, seen: Seen) -> np.ndarray:
    """(N, 2) factors from the image to what the network sees of it, of x and y."""
    scales = np.array([(seen[h, w][0][1] / w, seen[h, w][0][0] / h) for h, w in objects.sizes]).reshape(-1, 2)
    return scales[objects.images]


def _as_seen(objects: AnnotatedObjects, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (N, 4), cut to the image as by mmdet, areas (N,) and centres of mass (N, 2) as the network sees them."""
    scale = torch.from_numpy(network_scale(objects, seen))
    sizes = torch.tensor([seen[size][0][::-1] for size in objects.sizes], dtype=torch.float64).reshape(-1, 2)
    ends = sizes[torch.from_numpy(objects.images)].repeat(1, 2)
    boxes = (torch.from_numpy(objects.boxes) * scale.repeat(1, 2)).clamp(min=0).minimum(ends)
    areas = torch.from_numpy(objects.areas).double() * scale.prod(dim=1)
    centres = (torch.from_numpy(objects.centres) + 0.5) * scale - 0.5  # a pixel's centre is at half of its side
    return boxes.float(), areas, centres


def _in_cells(
    assigner: GridCellAssigner,
    levels: Sequence[Level],
    images: np.ndarray,
    boxes: Tensor,
    areas: Tensor,
    centres: Tensor,
    padded: Sequence[Size],
) -> Places:
    """Claims of many images of one size at once, then each image by itself."""
    ends = [grid**2 for grid in assigner.grids]
    on_level = np.zeros((len(images), len(ends)), int)
    positives, owns = np.zeros(len(images), int), np.zeros(len(images), bool)
    for size, places in _blocks(images, padded, MOST_CLAIMS // sum(ends)):
        claims = assigner.cells_around(boxes[places], areas[places], centres[places].to(assigner.dtype), size)
        on_level[places] = torch.stack([part.sum(dim=1) for part in claims.split(ends, dim=1)], dim=1).numpy()
        for start, stop in _runs(images[places]):
            targets = assigner.settle(claims[start:stop])
            positives[places[start:stop]] = torch.bincount(targets.gts, minlength=stop - start).numpy()
            owners = targets.gt_of_cell[targets.gt_of_cell >= 0].unique()
            owns[places[owners.numpy() + start]] = True
    return Places(levels, on_level, positives, np.any(on_level > 0, axis=1), owns)


def _blocks(images: np.ndarray, padded: Sequence[Size], most: int) -> Iterator[tuple[Size, np.ndarray]]:
    """Indices of about `most` objects, of whole images of one size, with that size."""
    number = {size: place for place, size in enumerate(dict.fromkeys(padded))}
    kinds = np.array([number[size] for size in padded], int)[images]
    for size, place in number.items():
        objects = np.flatnonzero(kinds == place)
        starts = np.array([start for start, _ in _runs(images[objects])], int)
        cuts = starts[np.flatnonzero(np.diff(starts // max(most, 1))) + 1] if len(starts) else starts
        yield from ((size, part) for part in np.split(objects, cuts) if len(part))


def _runs(images: np.ndarray) -> list[tuple[int, int]]:
    """Beginning and end of the objects of each image that has some."""
    edges = np.flatnonzero(np.diff(images, prepend=-1, append=-1)).tolist()
    return list(pairwise(edges))


def _at_locations(
    assigner: LocationAssigner | ATSSLocationAssigner,
    levels: Sequence[Level],
    images: np.ndarray,
    boxes: Tensor,
    padded: Sequence[Size],
) -> Places:
    """One image after the other: what locations take depends on all of its objects."""
    on_level, fits = np.zeros((len(images), len(levels)), int), np.zeros(len(images), bool)
    points: dict[Size, list[Tensor]] = {}
    for start, stop in tqdm(_runs(images), 'assigned', delay=2, leave=False):
        size = padded[images[start]]
        if size not in points:
            shapes = [[ceil(side / stride) for side in size] for stride in assigner.strides]
            points[size] = location_points(shapes, assigner.strides, boxes.device)
        found = assigner.assign(points[size], boxes[start:stop])
        parts = found.split([len(level) for level in points[size]])
        on_level[start:stop] = np.stack(
            [np.bincount(part[part >= 0].numpy(), minlength=stop - start) for part in parts], axis=1
        )
        fits[start:stop] = _fitting(assigner, points[size], boxes[start:stop], np.any(on_level[start:stop] > 0, axis=1))
    positives = on_level.sum(axis=1)
    return Places(levels, on_level, positives, fits, positives > 0)


def _fitting(
    assigner: LocationAssigner | ATSSLocationAssigner, points: Sequence[Tensor], boxes: Tensor, owns: np.ndarray
) -> np.ndarray:
    """(G,) whether an object would have a location if those that took it were not there.

    A location that some fit goes to one of them. So once nobody gains by the absence of the others, nobody fits.
    """
    fits, left = owns.copy(), np.flatnonzero(~owns)
    while len(left):
        found = assigner.assign(points, boxes[left])
        gained = left[found[found >= 0].unique().numpy()]
        if not len(gained):
            break
        fits[gained] = True
        left = np.setdiff1d(left, gained)
    return fits
