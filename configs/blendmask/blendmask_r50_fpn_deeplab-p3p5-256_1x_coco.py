"""The paper's final model: the decoder of DeepLabV3+ with width 256 on P3 and P5, semantic loss (Tables 7 and 8)."""

_base_ = './blendmask_r50_fpn_deeplab-p3p5_1x_coco.py'

model = dict(
    mask_head=dict(
        masks=dict(basis=dict(channels=256)),
        semantic=dict(_delete_=True, type='SemanticHead', num_classes=80, in_channels=256),
    ),
)
