"""A2-FPN in Cascade Mask R-CNN (A2-FPN, Table 1)."""

_base_ = ['./cascade-mask-rcnn_r50_fpn_1x_coco.py', '../_base_/necks/a2fpn.py']

model = dict(data_preprocessor=dict(pad_size_divisor=64), neck=dict(_delete_=True, **_base_.a2fpn))
