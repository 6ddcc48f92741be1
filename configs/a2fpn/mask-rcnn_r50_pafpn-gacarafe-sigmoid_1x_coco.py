"""PAFPN with GACARAFE whose gate is a plain sigmoid (A2-FPN, Table 5)."""

_base_ = './mask-rcnn_r50_pafpn-gacarafe_1x_coco.py'

model = dict(neck=dict(top_down=dict(gain=1.0)))
