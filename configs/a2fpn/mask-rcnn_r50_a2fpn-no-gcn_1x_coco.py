"""A2-FPN without graph convolutions (A2-FPN, Table 3)."""

_base_ = './mask-rcnn_r50_a2fpn_1x_coco.py'

model = dict(neck=dict(lateral=dict(gcn=False)))
