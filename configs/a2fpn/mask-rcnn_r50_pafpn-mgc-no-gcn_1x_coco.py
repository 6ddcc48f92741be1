"""PAFPN with MGC without graph convolutions (A2-FPN, Table 3)."""

_base_ = './mask-rcnn_r50_pafpn-mgc_1x_coco.py'

model = dict(neck=dict(lateral=dict(gcn=False)))
