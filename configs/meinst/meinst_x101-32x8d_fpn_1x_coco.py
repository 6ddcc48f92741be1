"""ResNeXt-101 32x8d, the one that the paper names in Table 1, with Detectron's weights."""

_base_ = './meinst_r50_fpn_1x_coco.py'

model = dict(
    data_preprocessor=dict(std=[57.375, 57.12, 58.395]),
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        base_width=8,
        style='pytorch',
        init_cfg=dict(checkpoint='open-mmlab://detectron2/resnext101_32x8d'),
    ),
)
