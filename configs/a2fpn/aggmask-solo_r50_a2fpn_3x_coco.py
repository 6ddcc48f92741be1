"""AggMask on SOLO with A2-FPN (not in either paper)."""

_base_ = ['../aggmask/aggmask-solo_r50_fpn_3x_coco.py', '../_base_/necks/a2fpn.py']

model = dict(data_preprocessor=dict(pad_size_divisor=64), neck=dict(_delete_=True, **_base_.a2fpn))
