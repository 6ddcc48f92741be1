"""Binary cross entropy on the masks, weight 10, foreground pixels counted twice (SOLO, Table 4)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        loss_mask=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True, class_weight=[2.0], loss_weight=10.0)
    )
)
