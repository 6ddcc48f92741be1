"""A class, a box and a centerness at every location of a pyramid (FCOS).

    feats ──► shared tower ──┬─► class tower ──► class logits
                             └─► box tower ──┬─► distances to the sides of the box
                                             ├─► centerness
                                             └─► (BlendMask's coefficients)

Shape shorthand: B images, C classes, G objects of the batch, L levels, (h, w) size of a level, Q locations of the
batch, P positives. Q's order is that of the levels, then images, rows and columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule, bias_init_with_prob, normal_init
from torch import Tensor, nn

from mmagg.models.layers import ConvTower, LevelTower
from mmagg.models.targets import boxes_around, distances_to_sides, location_table
from mmagg.ops import upload
from mmagg.ops.stage import stage


class LocationMaps(NamedTuple):
    """The head's predictions, one entry per level."""

    cls_logits: list[Tensor]
    """(B, C, h, w)."""
    distances: list[Tensor]
    """(B, 4, h, w) to the left, top, right and bottom side, in strides, at least 0."""
    centerness: list[Tensor]
    """(B, 1, h, w) logits."""
    box_feats: Sequence[Tensor]
    """(B, channels, h, w) outputs of the box tower."""


class LocationTargets(NamedTuple):
    """The targets of a batch's locations."""

    labels: Tensor
    """(Q,) classes, C for background."""
    places: Tensor
    """(P,) long, the positive locations, ascending; on the CPU, so that finding their levels never waits for a GPU."""
    gts: Tensor
    """(P,) long, their objects, counted over the batch."""
    distances: Tensor
    """(P, 4) to the sides of the object's box, in strides."""
    centerness: Tensor
    """(P,) in [0, 1]."""
    denominator: Tensor
    """Scalar: the sum of the positives' centerness, averaged over the processes."""


@MODELS.register_module()
class LocationHead(BaseModule):
    """FCOS, with the differences between its several releases as options.

    Args:
        num_classes: number of classes, without background.
        in_channels: channels of the pyramid.
        strides: pixels of the network's input per location, one per level.
        channels: channels of the towers.
        shared_tower: arguments, without channels, of a tower before both others (`LevelTower` if `num_levels` is among
            them, else `ConvTower`); None for none.
        class_tower: arguments of the tower for the classes, None for none.
        box_tower: arguments of the tower for boxes and centerness, None for none.
        use_scale: multiply each level's distances by a learnable scale.
        assigner: config of the assigner; `strides` is filled in.
        loss_cls: class loss, given logits (Q, C), labels (Q,) and `avg_factor`, the number of positives.
        loss_box: box loss, given distances (P, 4), their targets, and their centerness (P,) as weights; the weighted
            sum over the positives, which is then divided by the sum of the weights.
        loss_centerness: given logits and targets (P,) and `avg_factor`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 256,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        channels: int = 256,
        shared_tower: dict | None = None,
        class_tower: dict | None = None,
        box_tower: dict | None = None,
        use_scale: bool = False,
        assigner: dict,
        loss_cls: dict,
        loss_box: dict,
        loss_centerness: dict,
    ) -> None:
        super().__init__()
        self.num_classes, self.strides, self.channels = num_classes, tuple(strides), channels
        self.shared_tower = tower(shared_tower, in_channels, channels)
        after_shared = in_channels if self.shared_tower is None else channels
        if after_shared != channels and None in (class_tower, box_tower):
            raise ValueError(f'LocationHead: without towers, channels {channels} must be in_channels {in_channels}')
        self.class_tower = tower(class_tower, after_shared, channels)
        self.box_tower = tower(box_tower, after_shared, channels)
        self.conv_cls = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.conv_box = nn.Conv2d(channels, 4, 3, padding=1)
        self.conv_centerness = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale(1.0) for _ in strides) if use_scale else None
        self.assigner = TASK_UTILS.build(dict(strides=strides) | assigner)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_box = MODELS.build(loss_box)
        self.loss_centerness = MODELS.build(loss_centerness)

    def init_weights(self) -> None:
        """The towers' own initialisation; classes start with a probability of 0.01."""
        super().init_weights()
        normal_init(self.conv_cls, std=0.01, bias=bias_init_with_prob(0.01))
        normal_init(self.conv_box, std=0.01)
        normal_init(self.conv_centerness, std=0.01)

    @stage('head')
    def forward(self, feats: Sequence[Tensor]) -> LocationMaps:
        """Predictions at all locations.

        Args:
            feats: the pyramid, one (B, in_channels, h, w) per level.
        """
        shared = on_levels(self.shared_tower, feats)
        box_feats = on_levels(self.box_tower, shared)
        # In float32 also under autocast: in half precision, distances of hundreds of strides lose the pixel.
        distances = [self.conv_box(x).float() for x in box_feats]
        if self.scales is not None:
            distances = [scale(x) for scale, x in zip(self.scales, distances, strict=True)]
        return LocationMaps(
            cls_logits=[self.conv_cls(x) for x in on_levels(self.class_tower, shared)],
            distances=[x.relu() for x in distances],
            centerness=[self.conv_centerness(x) for x in box_feats],
            box_feats=box_feats,
        )

    # Training

    def assign(
        self, sizes: Sequence[Sequence[int]], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> LocationTargets:
        """Targets of a batch.

        Args:
            sizes: (h, w) of each level.
            boxes: per image (G_i, 4) x1, y1, x2, y2 in pixels.
            labels: per image (G_i,) classes.

        Raises:
            ValueError: if there are not as many levels as strides.
        """
        table = location_table(sizes, self.strides)
        counts = [height * width for height, width in sizes]
        points = upload(table[:, :2], boxes[0].device).split(counts)
        by_image, objects_before = [], 0
        for image_boxes in boxes:
            found = self.assigner.assign(points, image_boxes)
            by_image.append(torch.where(found < 0, -1, found + objects_before) if objects_before else found)
            objects_before += len(image_boxes)
        by_level = zip(*(x.split(counts) for x in by_image), strict=True)
        gts = torch.cat([x for level in by_level for x in level])  # (Q,)
        classes = F.pad(torch.cat(list(labels)), (0, 1), value=self.num_classes)[gts]  # -1 picks the last

        places = (gts >= 0).nonzero().squeeze(1)
        host_places = places.cpu()
        gts = gts[places]
        of_batch = torch.cat([x.repeat(len(boxes), 1) for x in table.split(counts)])[host_places]
        at, strides = upload(of_batch, gts.device).split([2, 1], 1)
        distances = distances_to_sides(at, torch.cat(list(boxes))[gts]) / strides
        centerness = centerness_of(distances)
        denominator = reduce_mean(centerness.sum()).clamp(min=1e-6)
        return LocationTargets(classes, host_places, gts, distances, centerness, denominator)

    def loss(self, maps: LocationMaps, targets: LocationTargets) -> dict[str, Tensor]:
        """Class, box and centerness loss.

        Args:
            maps: from `forward`.
            targets: from `assign`.

        Returns:
            `loss_cls` and `loss_centerness`, divided by the number of positives, and `loss_bbox`, divided by their
            summed centerness; both averaged over the processes.
        """
        places = upload(targets.places, targets.gts.device)
        positives = reduce_mean(torch.full_like(targets.denominator, len(places))).clamp(min=1)
        distances = locations_first(maps.distances)[places]
        centerness = locations_first(maps.centerness)[places].squeeze(1)
        # In float32 also under autocast: mmcv's focal loss has no bfloat16, and in float16 it overflows.
        logits = locations_first(maps.cls_logits).float()
        return dict(
            loss_cls=self.loss_cls(logits, targets.labels, avg_factor=positives),
            loss_bbox=self.loss_box(distances, targets.distances, targets.centerness) / targets.denominator,
            loss_centerness=self.loss_centerness(centerness, targets.centerness, avg_factor=positives)
            if len(places)
            else centerness.sum(),
        )

    # Inference

    def boxes_of(self, maps: LocationMaps, image: int) -> Tensor:
        """(Q, 4) boxes x1, y1, x2, y2 of one image in pixels, those of its Q locations of all levels."""
        sizes = [x.shape[-2:] for x in maps.distances]
        distances = torch.cat([x[image].flatten(1) for x in maps.distances], 1).t()
        at, strides = upload(location_table(sizes, self.strides), distances.device).split([2, 1], 1)
        return boxes_around(at, strides * distances)


def tower(arguments: dict | None, in_channels: int, channels: int) -> ConvTower | LevelTower | None:
    """A tower from its config; None for none."""
    if arguments is None:
        return None
    kind = LevelTower if 'num_levels' in arguments else ConvTower
    return kind(in_channels=in_channels, channels=channels, **arguments)


def on_levels(module: ConvTower | LevelTower | None, feats: Sequence[Tensor]) -> Sequence[Tensor]:
    """A tower's outputs on every level; without a tower its inputs."""
    return feats if module is None else module.on_levels(feats)


def locations_first(maps: Sequence[Tensor]) -> Tensor:
    """Per level (B, C, h, w) -> (Q, C)."""
    return torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in maps])


def centerness_of(distances: Tensor) -> Tensor:
    """Centerness (FCOS, Eq. 3): (P, 4) positive distances -> (P,), 1 at the box's centre and 0 at its border."""
    left, top, right, bottom = distances.unbind(1)
    return (left.minimum(right) / left.maximum(right) * top.minimum(bottom) / top.maximum(bottom)).sqrt()
