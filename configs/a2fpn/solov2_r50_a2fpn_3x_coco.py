"""SOLOv2 with A2-FPN (not in the paper)."""

_base_ = ['../solov2/solov2_r50_fpn_3x_coco.py', '../_base_/necks/a2fpn.py']

model = dict(data_preprocessor=dict(pad_size_divisor=64), neck=dict(_delete_=True, **_base_.a2fpn))
