"""Small heads with boxes, with random weights that find boxes of all sizes, and pyramids to try them on."""

import torch
from grid_heads import CHANNELS, CLASSES, FOCAL, NORM
from mmdet.registry import MODELS

from mmagg import register  # noqa: F401

STRIDES = (8, 16, 32)
RANGES = ((-1, 32), (32, 64), (64, 1e8))
TOWER = dict(num_convs=1, bias=True, norm_cfg=NORM)
BASIS = dict(type='ProtoNet', in_channels=CHANNELS, channels=CHANNELS, num_convs=1, norm_cfg=NORM)
BLENDED = dict(type='BlendedMasks', basis=BASIS, mask_size=14, attention_size=4)
KINDS = {
    'blend': {},
    'weighted sum': dict(masks=BLENDED | dict(attention_size=1)),
    'gate': dict(masks=BLENDED | dict(merger='gate', basis=BASIS | dict(num_bases=1))),
    'assemble': dict(masks=BLENDED | dict(merger='assemble', basis=BASIS | dict(num_bases=16)), coefficients=None),
    'shared tower': dict(
        boxes=dict(
            shared_tower=dict(num_convs=2, bias=True, norm_cfg=NORM), class_tower=None, box_tower=None, use_scale=True
        )
    ),
    'no semantic': dict(semantic=None),
}


def location_head(**options):
    config = dict(
        type='LocationHead',
        num_classes=CLASSES,
        in_channels=CHANNELS,
        channels=CHANNELS,
        strides=STRIDES,
        class_tower=TOWER,
        box_tower=TOWER,
        assigner=dict(type='LocationAssigner', ranges=RANGES),
        loss_cls=FOCAL,
        loss_box=dict(type='DistanceIoULoss'),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
    return config | options


def boxed_head(kind: str, **options):
    """A head of this kind; `options` replace its arguments."""
    given = KINDS[kind] | options
    config = dict(
        type='BoxedMaskHead',
        masks=BLENDED,
        coefficients=dict(in_channels=CHANNELS),
        semantic=dict(type='SemanticHead', num_classes=CLASSES, in_channels=CHANNELS, channels=CHANNELS, norm_cfg=NORM),
    )
    torch.manual_seed(3)
    head = MODELS.build(config | given | dict(boxes=location_head(**given.get('boxes', {}))))
    with torch.no_grad():
        for name, p in head.named_parameters():
            if p.ndim == 4:
                p.normal_(std=0.2)
            if name == 'boxes.conv_box.bias':
                p.fill_(2.0)
            if name == 'boxes.conv_cls.bias':
                p.fill_(-2.0)
    return head


def pyramid(batch: int, height: int, width: int, *, seed: int = 0) -> list[torch.Tensor]:
    """Random P3 to P5 of an input of this size."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(-(-height // s), -(-width // s)) for s in STRIDES]
    return [torch.randn(batch, CHANNELS, *size, generator=generator) for size in sizes]
