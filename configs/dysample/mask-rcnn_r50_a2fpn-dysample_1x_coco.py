"""A2-FPN with DySample in the place of GACARAFE, in Mask R-CNN."""

_base_ = '../a2fpn/mask-rcnn_r50_a2fpn_1x_coco.py'

model = dict(neck=dict(top_down=dict(_delete_=True, type='DySampleFusion')))
