"""A2-FPN in Hybrid Task Cascade with its semantic branch (A2-FPN, Table 1)."""

_base_ = ['./htc_r50_fpn_20e_coco.py', '../_base_/necks/a2fpn.py']

model = dict(data_preprocessor=dict(pad_size_divisor=64), neck=dict(_delete_=True, **_base_.a2fpn))
