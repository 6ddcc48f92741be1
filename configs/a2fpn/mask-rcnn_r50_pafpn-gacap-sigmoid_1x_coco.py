"""PAFPN with GACAP whose gate is a plain sigmoid (A2-FPN, Table 5)."""

_base_ = './mask-rcnn_r50_pafpn-gacap_1x_coco.py'

model = dict(neck=dict(bottom_up=dict(gain=1.0)))
