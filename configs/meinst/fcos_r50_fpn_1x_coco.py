"""FCOS without deformable convolutions: MEInst's model of Table 5, first row, without its masks."""

_base_ = './fcos-dcn_r50_fpn_1x_coco.py'

model = dict(mask_head=dict(boxes=dict(class_tower=dict(dcn_cfg=None), box_tower=dict(dcn_cfg=None))))
