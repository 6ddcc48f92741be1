"""Mask R-CNN with the Dice loss (SOLO, Sec. 3.3); its baseline with cross entropy is A2-FPN's."""

_base_ = '../a2fpn/mask-rcnn_r50_fpn_1x_coco.py'

model = dict(roi_head=dict(mask_head=dict(loss_mask=dict(_delete_=True, type='ClassMaskDiceLoss', loss_weight=1.0))))
