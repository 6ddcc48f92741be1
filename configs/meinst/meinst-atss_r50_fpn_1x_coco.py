"""On ATSS instead of FCOS: the same head, other positives, its weight of the box loss (not in the paper)."""

_base_ = './meinst_r50_fpn_1x_coco.py'

model = dict(
    mask_head=dict(
        boxes=dict(
            assigner=dict(_delete_=True, type='ATSSLocationAssigner', topk=9, anchor_scale=8.0),
            loss_box=dict(loss_weight=2.0),
        )
    )
)
