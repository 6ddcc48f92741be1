"""Decoupled SOLO Light: one mask tower for both axes, 4 layers, short side 512."""

_base_ = ['../_base_/models/solo_r50_fpn.py', '../_base_/coco_512_3x.py']

model = dict(
    mask_head=dict(
        class_tower=dict(num_convs=4),
        mask_branch=dict(type='DecoupledMaskBranch', num_convs=4, shared_tower=True),
        assigner=dict(scale_ranges=((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))),
    )
)
