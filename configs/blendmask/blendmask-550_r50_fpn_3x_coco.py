"""BlendMask at 550 pixels (BlendMask, Table 9): P3 to P6, one tower of three layers for classes and boxes."""

_base_ = ['../_base_/models/blendmask_r50_fpn.py', '../_base_/coco_polygons_550_3x.py']

model = dict(
    neck=dict(num_outs=4),
    mask_head=dict(
        boxes=dict(
            strides=(8, 16, 32, 64),
            shared_tower=dict(num_convs=3, bias=True, norm_cfg=dict(type='GN', num_groups=32)),
            class_tower=None,
            box_tower=None,
            assigner=dict(ranges=((-1, 64), (64, 128), (128, 256), (256, 1e8))),
        ),
        masks=dict(basis=dict(num_convs=2)),
    ),
)
