"""PAFPN with plain content-aware pooling (A2-FPN, Table 3)."""

_base_ = './mask-rcnn_r50_pafpn_1x_coco.py'

model = dict(neck=dict(bottom_up=dict(_delete_=True, type='CAPFusion')))
