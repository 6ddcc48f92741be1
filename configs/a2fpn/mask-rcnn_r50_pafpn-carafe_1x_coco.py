"""PAFPN with plain CARAFE (A2-FPN, Table 3)."""

_base_ = './mask-rcnn_r50_pafpn_1x_coco.py'

model = dict(neck=dict(top_down=dict(_delete_=True, type='CARAFEFusion')))
