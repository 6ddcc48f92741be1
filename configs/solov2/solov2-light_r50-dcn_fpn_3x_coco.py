"""SOLOv2 light with deformable convolutions in the backbone and in the last layer of both towers, short side 512."""

_base_ = ['../_base_/models/solov2_r50_fpn.py', '../_base_/coco_512_3x.py']

model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deformable_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    ),
    mask_head=dict(
        class_tower=dict(channels=256, num_convs=3, dcn_cfg=dict(type='DCNv2'), dcn_layers='last'),
        mask_branch=dict(channels=256, num_convs=3, out_channels=128, dcn_cfg=dict(type='DCNv2'), dcn_layers='last'),
        assigner=dict(scale_ranges=((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))),
    ),
)
