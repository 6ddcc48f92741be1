"""SOLO with the inference of its text (SOLO, Sec. 2.4): all cells above the threshold, and mask NMS."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(test_cfg=dict(points_nms=False, nms=dict(_delete_=True, type='MaskNMS', iou_thr=0.5)))
