"""Focal loss on the masks, weight 20 (SOLO, Table 4)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        loss_mask=dict(_delete_=True, type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=20.0)
    )
)
